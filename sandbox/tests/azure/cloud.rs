//! A small tenant, an issuer that its apps trust, and short ways to ask and to be refused.

use std::time::Duration;

use jitney_sandbox::azure::estate::{
    App, Estate, Person, ResourceGroup, StorageAccount, Subscription,
};
use jitney_sandbox::azure::{AzureOptions, AzureSandbox, RateLimits, Settings, builtin};
use jitney_sandbox::ci::{CiIssuer, CiOptions, SignWith};
use reqwest::{Certificate, Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

pub const TENANT: Uuid = uuid!("99999999-9999-4999-8999-999999999999");
pub const SUBSCRIPTION: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
pub const BROKER: Uuid = uuid!("bbbbbbbb-0000-4000-8000-000000000000");
pub const SLOT: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000001");
pub const OTHER_SLOT: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000002");
pub const USER: Uuid = uuid!("eeeeeeee-0000-4000-8000-000000000000");
pub const ACCOUNT: &str = "artifactsprod";
pub const CONTAINER: &str = "releases";
pub const ARM: &str = "https://management.azure.com";
pub const STORAGE: &str = "https://storage.azure.com";
pub const RBAC: &str = "2022-04-01";
pub const PIM: &str = "2020-10-01";

/// The application's id of a principal.
pub fn client_id(object_id: Uuid) -> Uuid {
    Uuid::from_u128(object_id.as_u128() ^ 0xffff)
}

pub fn subscription() -> String {
    format!("/subscriptions/{SUBSCRIPTION}")
}

pub fn group() -> String {
    format!("{}/resourceGroups/artifacts", subscription())
}

pub fn container() -> String {
    let storage = "providers/Microsoft.Storage/storageAccounts";
    format!(
        "{}/{storage}/{ACCOUNT}/blobServices/default/containers/{CONTAINER}",
        group()
    )
}

pub fn role(id: Uuid) -> String {
    format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{id}",
        subscription()
    )
}

/// A subscription with a storage account; a broker that gives roles, and two slots that have none.
pub fn estate() -> Estate {
    let account = StorageAccount::new(ACCOUNT)
        .blob(CONTAINER, "v1/a.txt", "one")
        .container("other");
    let group = ResourceGroup::new("artifacts").account(account);
    let app = |object_id, name: &str| App::new(client_id(object_id), object_id, name);
    Estate::new(TENANT)
        .subscription(
            Subscription::new(SUBSCRIPTION, "prod")
                .group(group)
                .group(ResourceGroup::new("empty")),
        )
        .app(app(BROKER, "broker"))
        .app(app(SLOT, "slot-1"))
        .app(app(OTHER_SLOT, "slot-2"))
        .person(Person {
            object_id: USER,
            name: "Ada".to_owned(),
            kind: Default::default(),
        })
        .assignment(
            &subscription(),
            builtin::USER_ACCESS_ADMINISTRATOR,
            BROKER,
            None,
        )
}

/// A cloud and the issuer of its clients' assertions.
pub struct Bench {
    pub sandbox: AzureSandbox,
    pub issuer: CiIssuer,
    pub http: reqwest::Client,
}

pub async fn start() -> Bench {
    start_with(estate(), Settings::default()).await
}

/// Without rates: tests of other things must not meet them.
pub async fn start_with(mut estate: Estate, settings: Settings) -> Bench {
    let issuer = CiIssuer::start(CiOptions::default()).await.unwrap();
    for app in &mut estate.apps {
        *app = app.clone().trusts(&issuer.url(), &subject(app.object_id));
    }
    let options = AzureOptions {
        limits: RateLimits::unlimited(),
        seed: Some(1),
        settings,
        ..AzureOptions::new(estate)
    };
    let sandbox = AzureSandbox::start(options).await.unwrap();
    let http = client(&sandbox);
    Bench {
        sandbox,
        issuer,
        http,
    }
}

/// An HTTP client that trusts the sandbox and nobody else.
pub fn client(sandbox: &AzureSandbox) -> reqwest::Client {
    let authority = Certificate::from_pem(sandbox.authority_pem().as_bytes()).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

pub fn subject(object_id: Uuid) -> String {
    format!("jitney:slot:{object_id}")
}

/// A status, and a body that is JSON or nothing.
pub type Answered = (u16, Value);

impl Bench {
    /// The claims of a good assertion.
    pub fn claims(&self, object_id: Uuid) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.issuer.url(),
            "sub": subject(object_id),
            "aud": "api://AzureADTokenExchange",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": "assertion-1",
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.issuer
            .mint(claims, &self.issuer.header(), SignWith::Current)
            .unwrap()
    }

    /// The form of a good request for a token.
    pub fn form(&self, object_id: Uuid, audience: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", client_id(object_id).to_string()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", self.sign(&self.claims(object_id))),
            ("scope", format!("{audience}/.default")),
        ]
    }

    pub async fn exchange(&self, form: &[(&str, String)]) -> Answered {
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.sandbox.url());
        answered(self.http.post(url).form(form)).await
    }

    pub async fn token(&self, object_id: Uuid, audience: &str) -> String {
        let (status, body) = self.exchange(&self.form(object_id, audience)).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A call to Resource Manager; `path` may have a query.
    pub async fn arm(
        &self,
        token: &str,
        method: Method,
        path: &str,
        version: &str,
        body: Option<Value>,
    ) -> Answered {
        let mark = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{mark}api-version={version}", self.sandbox.url());
        let request = self.http.request(method, url).bearer_auth(token);
        answered(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// As the broker, which is asked for often.
    pub async fn broker(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: Option<Value>,
    ) -> Answered {
        let token = self.token(BROKER, ARM).await;
        self.arm(&token, method, path, version, body).await
    }

    pub async fn get(&self, path: &str, version: &str) -> Answered {
        self.broker(Method::GET, path, version, None).await
    }

    /// Puts a role assignment at a scope, as the broker.
    pub async fn assign(
        &self,
        scope: &str,
        name: Uuid,
        role_id: Uuid,
        principal: Uuid,
    ) -> Answered {
        self.put_assignment(scope, name, assignment(role_id, principal))
            .await
    }

    pub async fn put_assignment(&self, scope: &str, name: Uuid, body: Value) -> Answered {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        self.broker(Method::PUT, &path, RBAC, Some(body)).await
    }

    pub async fn unassign(&self, scope: &str, name: Uuid) -> Answered {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        self.broker(Method::DELETE, &path, RBAC, None).await
    }

    /// A schedule request of the broker for [`SLOT`] at the container.
    pub async fn request(&self, name: Uuid, properties: Value) -> Answered {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{name}",
            container()
        );
        self.broker(
            Method::PUT,
            &path,
            PIM,
            Some(json!({ "properties": properties })),
        )
        .await
    }

    /// How many things a list at the container has.
    pub async fn count(&self, kind: &str, filter: &str, version: &str) -> usize {
        let path = format!(
            "{}/providers/Microsoft.Authorization/{kind}?$filter={filter}",
            container()
        );
        let (status, body) = self.get(&path, version).await;
        assert_eq!(status, 200, "{body}");
        body["value"].as_array().unwrap().len()
    }

    /// A call to the Blob service: `path` begins with a container.
    pub fn blob(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{path}", self.sandbox.blob_url(ACCOUNT));
        self.http
            .request(method, url)
            .bearer_auth(token)
            .header("x-ms-version", "2024-11-04")
    }

    /// Whether the token's principal may read a blob now.
    pub async fn may_read(&self, token: &str, path: &str) -> bool {
        let answer = self.blob(token, Method::GET, path).send().await.unwrap();
        match answer.status().as_u16() {
            200 => true,
            403 => false,
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    }

    pub async fn may_write(&self, token: &str, path: &str) -> bool {
        let request = self
            .blob(token, Method::PUT, path)
            .header("x-ms-blob-type", "BlockBlob")
            .body("new");
        match request.send().await.unwrap().status().as_u16() {
            201 => true,
            403 => false,
            other => panic!("{other}"),
        }
    }
}

pub async fn answered(request: RequestBuilder) -> Answered {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap()
    };
    (status, body)
}

/// The body of a role assignment.
pub fn assignment(role_id: Uuid, principal: Uuid) -> Value {
    json!({ "properties": {
        "roleDefinitionId": role(role_id),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    } })
}

/// The same under a condition.
pub fn conditioned(role_id: Uuid, principal: Uuid, condition: &str) -> Value {
    let mut body = assignment(role_id, principal);
    body["properties"]["condition"] = json!(condition);
    body["properties"]["conditionVersion"] = json!("2.0");
    body
}

/// The properties of a good schedule request that gives [`SLOT`] the reader's role for a quarter of an hour.
pub fn admin_assign() -> Value {
    json!({
        "principalId": SLOT,
        "roleDefinitionId": role(builtin::BLOB_DATA_READER),
        "requestType": "AdminAssign",
        "justification": "a lease",
        "scheduleInfo": {
            "startDateTime": null,
            "expiration": { "type": "AfterDuration", "duration": "PT15M", "endDateTime": null },
        },
    })
}

pub fn admin_remove() -> Value {
    json!({
        "principalId": SLOT,
        "roleDefinitionId": role(builtin::BLOB_DATA_READER),
        "requestType": "AdminRemove",
    })
}

/// A status and the code of an error.
pub fn refusal(answered: &Answered) -> (u16, &str) {
    (
        answered.0,
        answered.1["error"]["code"].as_str().unwrap_or("(no code)"),
    )
}

pub fn name(number: u128) -> Uuid {
    Uuid::from_u128(0xcccc_0000_0000_4000_8000_0000_0000_0000 + number)
}
