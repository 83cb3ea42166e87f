//! A real PostgreSQL for tests: a server of our own in a folder of its own, on a socket, with its
//! disk flushes on. No network, no container, no other user's server.
//!
//! The server belongs to a shell that ends it as soon as its standard input ends. So it never
//! outlives the test, however that ends: panics and `kill -9` close the pipe as well.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jitney_ledger_postgres::{PostgresOptions, ServerUrl};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::OnceCell;

const USER: &str = "jitney";
const DATABASE: &str = "postgres";
/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_PAUSE: Duration = Duration::from_millis(20);
/// Where Debian and its children have the programs, one folder per version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum NoServer {
    /// The programs are not installed.
    #[error("PostgreSQL is not installed: `initdb` is neither in PATH nor in {DEBIAN}")]
    NotInstalled,
    /// They are, and do not work.
    #[error("PostgreSQL does not start: {0}")]
    Failed(String),
}

impl From<io::Error> for NoServer {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

/// The shell that the server belongs to.
#[derive(Debug)]
struct Keeper {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// `$1` is the folder, `$2` where the programs are, `$3` more settings.
const KEEPER: &str = r#"
folder=$1 programs=$2 settings=$3
"$programs/initdb" -D "$folder/data" -U jitney -A trust -E UTF8 --no-locale --no-sync \
    >"$folder/initdb.log" 2>&1 || { echo "initdb failed"; exit 1; }
start() {
    "$programs/postgres" -D "$folder/data" -k "$folder" -h '' -c fsync=on $settings \
        >>"$folder/server.log" 2>&1 &
    server=$!
}
end() { kill "-$1" "$server" 2>/dev/null; wait "$server"; }
start
echo started
while read -r order; do
    case $order in
    stop) end INT ;;
    crash) end QUIT ;;
    start) start ;;
    esac
    echo "$order"
done
end INT
rm -rf "$folder"
"#;

static SHARED: OnceCell<Server> = OnceCell::const_new();

impl Server {
    /// The server that all tests of this process share. Each makes a schema of its own in it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn shared() -> Result<&'static Self, NoServer> {
        SHARED.get_or_try_init(|| Self::start("")).await
    }

    /// The shared server, or nothing where PostgreSQL is not installed: said aloud, and red in CI.
    ///
    /// # Errors
    /// When it does not start, or CI has none.
    pub async fn shared_or_said(what: &str) -> Result<Option<&'static Self>, NoServer> {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        match Self::shared().await {
            Ok(server) => Ok(Some(server)),
            Err(NoServer::NotInstalled) if !in_ci => {
                let _ = writeln!(
                    io::stderr(),
                    "NOT JUDGED: {what}: {}",
                    NoServer::NotInstalled
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A server of one's own, with more settings for its command line.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(settings: &str) -> Result<Self, NoServer> {
        let programs = programs().ok_or(NoServer::NotInstalled)?;
        let folder = tempfile::Builder::new().prefix("jitney-pg-").tempdir()?;
        let folder = folder.keep();
        let mut command = as_a_user(&folder)?;
        let mut shell = command
            .args(["sh", "-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(&programs)
            .arg(settings)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it wrote to would stay open for as long as it lives.
            .stderr(Stdio::null())
            .spawn()?;
        let orders = shell.stdin.take();
        let answers = shell.stdout.take();
        let answers = answers.ok_or_else(|| NoServer::Failed("it has no output".to_owned()))?;
        let mut keeper = Keeper {
            shell,
            orders,
            answers: BufReader::new(answers),
        };
        keeper.hear("started").map_err(|error| {
            let log = fs::read_to_string(folder.join("initdb.log"));
            NoServer::Failed(format!("{error}\n{}", log.unwrap_or_default()))
        })?;
        let server = Self {
            folder,
            keeper: Mutex::new(keeper),
        };
        server.ready().await?;
        Ok(server)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), NoServer> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > READY_WITHIN => {
                    let log = fs::read_to_string(self.folder.join("server.log"));
                    let log = log.unwrap_or_default();
                    return Err(NoServer::Failed(format!("{error}\n{log}")));
                }
                Err(_) => tokio::time::sleep(READY_PAUSE).await,
            }
        }
    }

    /// Ends it in good order: who is connected is told.
    ///
    /// # Errors
    /// When whoever keeps it is gone.
    pub fn stop(&self) -> Result<(), NoServer> {
        self.order("stop")
    }

    /// Ends it as a loss of power would: what is not on disk is lost.
    ///
    /// # Errors
    /// When whoever keeps it is gone.
    pub fn crash(&self) -> Result<(), NoServer> {
        self.order("crash")
    }

    /// Starts it after it was ended, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_again(&self) -> Result<(), NoServer> {
        self.order("start")?;
        self.ready().await
    }

    fn order(&self, order: &str) -> Result<(), NoServer> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = &mut keeper.orders {
            writeln!(orders, "{order}")?;
        }
        keeper.hear(order)
    }

    /// Options for a ledger in a schema of its own, which is empty.
    ///
    /// # Errors
    /// When the folder's name is none for a URL.
    pub fn fresh(&self) -> Result<PostgresOptions, NoServer> {
        let mut options = PostgresOptions::at(self.url()?);
        options.schema = format!("test_{}", uuid::Uuid::now_v7().simple());
        Ok(options)
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the folder's name is none for a URL.
    pub fn url(&self) -> Result<ServerUrl, NoServer> {
        let folder = self.folder.display();
        let url = format!("postgres://{USER}@localhost/{DATABASE}?host={folder}");
        ServerUrl::try_from(url).map_err(|error| NoServer::Failed(error.to_string()))
    }

    /// The folder that its socket is in.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// A connection with which everything may be done, for looking and for making trouble.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(5432)
            .username(USER)
            .database(DATABASE);
        options.connect().await
    }
}

impl Keeper {
    fn hear(&mut self, expected: &str) -> Result<(), NoServer> {
        let mut heard = String::new();
        self.answers.read_line(&mut heard)?;
        if heard.trim_end() == expected {
            return Ok(());
        }
        Err(NoServer::Failed(format!(
            "`{expected}` was answered by `{heard}`"
        )))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.shell.wait();
    }
}

/// The folder with `initdb` and `postgres`: one of PATH, or the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .map(|versions| versions.flatten().map(|it| it.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    std::env::split_paths(&path)
        .chain(debian.into_iter().rev())
        .find(|folder| {
            ["initdb", "postgres"]
                .iter()
                .all(|it| folder.join(it).is_file())
        })
}

/// A command that runs as somebody else when we are root, whom PostgreSQL does not work for; the
/// folder is given to whoever that is.
fn as_a_user(folder: &Path) -> Result<Command, NoServer> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(Command::new("env"));
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = ["postgres", "nobody"]
        .iter()
        .find_map(|name| ids_of(&users, name));
    let (user, group) =
        ids.ok_or_else(|| NoServer::Failed("there is no user to run it as".to_owned()))?;
    chown(folder, Some(user), Some(group))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={group}"));
    command.arg("--clear-groups").arg("--");
    Ok(command)
}

/// A user's number and that of its group.
fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find(|fields| fields.clone().next() == Some(name))?
        .skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
