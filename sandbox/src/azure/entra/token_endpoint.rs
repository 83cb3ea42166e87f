//! `POST /{tenant}/oauth2/v2.0/token`: an access token for a client assertion.

use jiff::SignedDuration;
use serde_json::json;

use crate::azure::access_token::{self, Caller, Grant};
use crate::azure::cloud::Cloud;
use crate::azure::estate::App;
use crate::azure::world::TokenInfo;
use crate::call::{Answer, Call, percent_decoded};

use super::assertion::{self, Trusted};
use super::errors::EntraError;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The resources that there are in every cloud, beside storage accounts of their own.
const RESOURCES: [&str; 2] = ["https://storage.azure.com", "https://graph.microsoft.com"];

/// The parameters of a form.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(call: &Call) -> Form {
        let is_form = call
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Form(Vec::new());
        }
        let text = String::from_utf8_lossy(&call.body);
        let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
        Form(
            text.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, EntraError> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| EntraError::missing(name))
    }
}

/// Whom a token was given to, and the answer.
pub(crate) async fn serve(
    cloud: &Cloud,
    call: &Call,
    tenant: &str,
) -> (Option<Caller>, Result<Answer, EntraError>) {
    let own_name = format!("https://{}", call.header("host").unwrap_or_default());
    match exchange(cloud, &Form::of(call), tenant, &own_name).await {
        Ok((caller, answer)) => (Some(caller), Ok(answer)),
        Err(error) => (None, Err(error)),
    }
}

async fn exchange(
    cloud: &Cloud,
    form: &Form,
    tenant: &str,
    own_name: &str,
) -> Result<(Caller, Answer), EntraError> {
    if tenant.parse() != Ok(cloud.tenant.id) {
        return Err(EntraError::request(
            90_002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            ),
        ));
    }
    let grant_type = form.required("grant_type")?;
    if grant_type != "client_credentials" {
        return Err(EntraError::grant(
            70_003,
            format!("The app requested an unsupported grant type '{grant_type}'."),
        ));
    }
    let app = known_app(cloud, form.required("client_id")?)?;
    let assertion = assertion_in(form)?;
    let audience = audience(cloud, form.required("scope")?, own_name)?;
    let trusted = assertion::judge(cloud, &app, assertion).await?;
    if app.disabled {
        return Err(EntraError::unauthorized(
            7_000_112,
            format!("Application '{}'({}) is disabled.", app.client_id, app.name),
        ));
    }
    issue(cloud, &app, &audience, &trusted)
}

fn known_app(cloud: &Cloud, client_id: &str) -> Result<App, EntraError> {
    let world = cloud.world();
    let app = client_id.parse().ok().and_then(|id| world.app_of(id));
    app.cloned().ok_or_else(|| {
        EntraError::unauthorized(
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'.",
                cloud.tenant.id
            ),
        )
    })
}

/// No app here has a secret or a certificate.
fn assertion_in(form: &Form) -> Result<&str, EntraError> {
    if form.get("client_secret").is_some() {
        return Err(EntraError::client(
            7_000_215,
            "Invalid client secret provided.",
        ));
    }
    let is_typed = form.get("client_assertion_type") == Some(ASSERTION_TYPE);
    form.get("client_assertion")
        .filter(|assertion| is_typed && !assertion.is_empty())
        .ok_or_else(|| {
            EntraError::client(
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        })
}

/// The one resource of a scope `RESOURCE/.default`.
fn audience(cloud: &Cloud, scope: &str, own_name: &str) -> Result<String, EntraError> {
    if scope.split_whitespace().count() != 1 {
        return Err(EntraError::scope(
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter of one resource; '{scope}' is not valid."
            ),
        ));
    }
    let resource = scope.strip_suffix("/.default").ok_or_else(|| {
        EntraError::scope(
            1_002_012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
            ),
        )
    })?;
    let (plain, environment) = (resource.trim_end_matches('/'), cloud.estate.environment);
    let is_account = plain
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_suffix(environment.blobs()))
        .is_some_and(|account| cloud.tenant.accounts.contains_key(account));
    let is_service = environment.management().contains(&plain) || plain == environment.vault();
    if RESOURCES.contains(&plain) || is_service || is_account || plain == own_name {
        return Ok(resource.to_owned());
    }
    Err(EntraError::resource(
        500_011,
        format!(
            "The resource principal named {resource} was not found in the tenant named {}.",
            cloud.tenant.id
        ),
    ))
}

fn issue(
    cloud: &Cloud,
    app: &App,
    audience: &str,
    trusted: &Trusted,
) -> Result<(Caller, Answer), EntraError> {
    let seconds = cloud.identifiers.token_seconds();
    let issued = cloud.clock.now();
    let lifetime = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let expires = issued.saturating_add(lifetime).unwrap_or(issued);
    let grant = Grant {
        app,
        audience,
        id: cloud.identifiers.guid().simple().to_string(),
        issued,
        expires,
    };
    let token =
        access_token::mint(cloud.tenant.id, &grant).ok_or_else(|| EntraError::unavailable(503))?;
    let caller = Caller {
        object_id: app.object_id,
        client_id: app.client_id,
        token_id: grant.id.clone(),
    };
    cloud.world().tokens.push(TokenInfo {
        id: grant.id,
        principal: app.object_id,
        client_id: app.client_id,
        audience: audience.to_owned(),
        assertion_subject: trusted.subject.clone(),
        assertion_id: trusted.id.clone(),
        issued,
        expires,
    });
    let body = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": token,
    });
    let answer = Answer::json(200, &body)
        .with("cache-control", "no-store, no-cache")
        .with("pragma", "no-cache");
    Ok((caller, answer))
}
