//! Playing the laws, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Held, Kind, LAWS, Law, Stage, Stages};

/// A law that a stage cannot show.
#[derive(Debug, Clone, Copy)]
pub struct Waiver {
    /// The law's name.
    pub law: &'static str,
    /// Why it cannot be shown there.
    pub reason: &'static str,
}

/// What became of the laws on one kind of stage.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The names of the laws that hold.
    pub held: Vec<&'static str>,
    /// The names of those that do not and are waived.
    pub waived: Vec<&'static str>,
    /// The names of those that are about another kind of cloud.
    pub of_another_kind: Vec<&'static str>,
    /// What is wrong, one sentence each.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Nothing, when so many laws hold, so many are about another kind of cloud, and nothing is
    /// wrong.
    ///
    /// # Errors
    /// What is wrong, also that fewer or more laws hold than `held`, or are left out than
    /// `of_another_kind`: a law that is not played any more would otherwise never be missed.
    pub fn expect(&self, held: usize, of_another_kind: usize) -> Result<(), String> {
        let mut wrong = self.wrong.clone();
        if self.held.len() != held {
            wrong.push(format!("{} laws hold, expected {held}", self.held.len()));
        }
        let left_out = self.of_another_kind.len();
        if left_out != of_another_kind {
            wrong.push(format!(
                "{left_out} laws are about another kind of cloud, expected {of_another_kind}"
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }
}

/// What came of one law.
#[derive(Debug, PartialEq, Eq)]
enum Played {
    ToTheEnd(Held),
    /// It is about another kind of cloud.
    NotHere,
}

/// Plays all laws, each on a stage of its own, a few at a time.
pub async fn judge(stages: Arc<dyn Stages>, waivers: &[Waiver], at_a_time: usize) -> Verdict {
    let mut results = BTreeMap::new();
    for laws in LAWS.chunks(at_a_time.max(1)) {
        let mut playing = tokio::task::JoinSet::new();
        for law in laws {
            let (law, stages) = (*law, Arc::clone(&stages));
            playing.spawn(async move {
                let played = match stages.stage().await {
                    Ok(stage) => play(law, stage.as_ref()).await,
                    Err(error) => Played::ToTheEnd(Err(format!("no stage: {error}"))),
                };
                (law.name, played)
            });
        }
        while let Some(joined) = playing.join_next().await {
            if let Ok((name, played)) = joined {
                results.insert(name, played);
            }
        }
    }
    weigh(&results, waivers)
}

async fn play(law: Law, stage: &dyn Stage) -> Played {
    match Kind::of(stage) {
        Ok(kind) if law.is_about(kind) => Played::ToTheEnd(law.holds_on(stage).await),
        Ok(_) => Played::NotHere,
        Err(error) => Played::ToTheEnd(Err(error)),
    }
}

fn weigh(results: &BTreeMap<&'static str, Played>, waivers: &[Waiver]) -> Verdict {
    let mut verdict = Verdict::default();
    for law in LAWS {
        let (name, sentence) = (law.name, law.sentence);
        let waiver = waivers.iter().find(|waiver| waiver.law == name);
        match (results.get(name), waiver) {
            (Some(Played::ToTheEnd(Ok(()))), None) => verdict.held.push(name),
            (Some(Played::ToTheEnd(Ok(()))), Some(_)) => verdict
                .wrong
                .push(format!("`{name}` holds: its waiver is no longer needed")),
            (Some(Played::ToTheEnd(Err(_))), Some(_)) => verdict.waived.push(name),
            (Some(Played::ToTheEnd(Err(why))), None) => {
                verdict.wrong.push(format!("`{name}` ({sentence}): {why}"));
            }
            (Some(Played::NotHere), None) => verdict.of_another_kind.push(name),
            (Some(Played::NotHere), Some(_)) => verdict.wrong.push(format!(
                "`{name}` is waived and is about another kind of cloud"
            )),
            (None, _) => verdict.wrong.push(format!("`{name}` did not end")),
        }
    }
    let unknown = |waiver: &&Waiver| !LAWS.iter().any(|law| law.name == waiver.law);
    let unknown = waivers.iter().filter(unknown);
    verdict
        .wrong
        .extend(unknown.map(|waiver| format!("`{}` is waived and is no law", waiver.law)));
    let silent = waivers
        .iter()
        .filter(|waiver| waiver.reason.trim().is_empty());
    verdict
        .wrong
        .extend(silent.map(|waiver| format!("`{}` is waived without a reason", waiver.law)));
    verdict
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn all_hold() -> BTreeMap<&'static str, Played> {
        let holds = |law: &Law| (law.name, Played::ToTheEnd(Ok(())));
        LAWS.iter().map(holds).collect()
    }

    fn broken(why: &str) -> Played {
        Played::ToTheEnd(Err(why.to_owned()))
    }

    fn waiver(law: &'static str, reason: &'static str) -> Waiver {
        Waiver { law, reason }
    }

    #[test]
    fn every_law_has_a_name_of_its_own_and_a_sentence() {
        let mut names: Vec<_> = LAWS.iter().map(|law| law.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LAWS.len());
        assert!(LAWS.iter().all(|law| law.sentence.len() > 20));
    }

    #[test]
    fn a_waiver_fails_once_its_law_holds() {
        let waiver = waiver(LAWS[0].name, "not yet");
        let mut results = all_hold();
        let verdict = weigh(&results, &[waiver]);
        assert!(verdict.wrong[0].contains("no longer needed"));
        results.insert(LAWS[0].name, broken("broken"));
        let verdict = weigh(&results, &[waiver]);
        assert_eq!(verdict.waived, [LAWS[0].name]);
        assert!(verdict.expect(LAWS.len() - 1, 0).is_ok());
    }

    #[test]
    fn what_is_broken_missing_or_miscounted_is_wrong() {
        let mut results = all_hold();
        assert!(weigh(&results, &[]).expect(LAWS.len(), 0).is_ok());
        assert!(weigh(&results, &[]).expect(LAWS.len() + 1, 0).is_err());
        results.remove(LAWS[1].name);
        assert!(weigh(&results, &[]).expect(LAWS.len() - 1, 0).is_err());
        results.insert(LAWS[1].name, broken("why"));
        let told = weigh(&results, &[]).expect(LAWS.len() - 1, 0).unwrap_err();
        assert!(
            told.contains(LAWS[1].sentence) && told.contains("why"),
            "{told}"
        );
    }

    #[test]
    fn what_is_about_another_kind_of_cloud_is_counted_apart() {
        let mut results = all_hold();
        results.insert(LAWS[0].name, Played::NotHere);
        let verdict = weigh(&results, &[]);
        assert!(verdict.expect(LAWS.len() - 1, 1).is_ok());
        assert!(verdict.expect(LAWS.len() - 1, 0).is_err());
        assert!(verdict.expect(LAWS.len(), 1).is_err());
        let verdict = weigh(&results, &[waiver(LAWS[0].name, "not here")]);
        assert!(verdict.wrong[0].contains("another kind"));
    }

    #[test]
    fn a_waiver_of_nothing_or_for_no_reason_is_wrong() {
        let mut results = all_hold();
        let unknown = waiver("no-such-law", "x");
        assert!(weigh(&results, &[unknown]).expect(LAWS.len(), 0).is_err());
        results.insert(LAWS[0].name, broken("why"));
        let silent = waiver(LAWS[0].name, " ");
        assert!(
            weigh(&results, &[silent])
                .expect(LAWS.len() - 1, 0)
                .is_err()
        );
    }
}
