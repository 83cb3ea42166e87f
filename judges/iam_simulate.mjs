// One line of JSON in (a simulation of @cloud-copilot/iam-simulate), one line out: the result, or why
// there is none. A process of its own, so that the simulator's code stays apart from ours.
//
//   node iam_simulate.mjs FOLDER_WITH_NODE_MODULES

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { runSimulation } = require("@cloud-copilot/iam-simulate");

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const result = await runSimulation(JSON.parse(line), { simulationMode: "Strict" });
    answer =
      result.resultType === "single"
        ? { result: result.overallResult, ignored: result.result.ignoredContextKeys }
        : { unjudged: result.errors ?? result.resultType };
  } catch (error) {
    answer = { unjudged: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
