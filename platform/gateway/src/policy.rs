//! Resource policies as requests give them and as JSON shows them.
//!
//! Source: service model `lambda/2015-03-31`; Lambda developer guide, "Resource-based policies", 2026-11. Deliberately knows
//! nothing of what has a policy.

use crate::error::{ApiError, ErrorKind};
use crate::reference::is_word;
use crate::validation::{Constraint, Violations};
use catalog::{Policy, Statement};
use model::TenantId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Bytes of a policy as JSON (AWS Lambda quotas, 2026-11).
const POLICY_BYTES_MAX: usize = 20_480;
const ID_MAX: usize = 100;
const ID_PATTERN: &str = "([a-zA-Z0-9-_]+)";
const ACTION_PATTERN: &str = "(lambda:[*]|lambda:[a-zA-Z]+|[*])";
const PRINCIPAL_PATTERN: &str = r"[^\s]+";
const PRINCIPAL_MAX: usize = 2048;
const ACCOUNT_PATTERN: &str = r"\d{12}";
/// What a policy of a layer's version may allow, and to whom.
const LAYER_ACTION: &str = "lambda:GetLayerVersion";
const LAYER_PRINCIPAL_PATTERN: &str = r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root";
const ORGANIZATION_PATTERN: &str = "o-[a-z0-9]{10,32}";

/// AddPermission and AddLayerVersionPermission.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PermissionRequest {
    pub statement_id: Option<String>,
    pub action: Option<String>,
    pub principal: Option<String>,
    pub source_arn: Option<String>,
    pub source_account: Option<String>,
    pub event_source_token: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    pub principal_org_id: Option<String>,
    pub organization_id: Option<String>,
    pub function_url_auth_type: Option<String>,
    pub invoked_via_function_url: Option<bool>,
    pub revision_id: Option<String>,
}

/// The statement that AddLayerVersionPermission asks for. Errors: ValidationException, InvalidParameterValueException.
pub(crate) fn read_layer_statement(request: PermissionRequest) -> Result<Statement, ApiError> {
    let mut violations = Violations::default();
    check_id(request.statement_id.as_deref(), &mut violations);
    match request.action.as_deref() {
        None => violations.add_missing("action"),
        Some(LAYER_ACTION) => {}
        Some(other) => violations.add(other, "action", Constraint::Pattern(LAYER_ACTION)),
    }
    let is_root = |text: &str| {
        let rest = text.strip_prefix("arn:").and_then(|rest| rest.split_once(":iam::"));
        rest.and_then(|(_, rest)| rest.strip_suffix(":root")).is_some_and(is_account)
    };
    match request.principal.as_deref() {
        None => violations.add_missing("principal"),
        Some(who) if who == "*" || is_account(who) || is_root(who) => {}
        Some(who) => violations.add(who, "principal", Constraint::Pattern(LAYER_PRINCIPAL_PATTERN)),
    }
    let organization = request.organization_id;
    if let Some(id) = organization.as_deref().filter(|id| !is_organization(id)) {
        violations.add(id, "organizationId", Constraint::Pattern(ORGANIZATION_PATTERN));
    }
    violations.finish()?;
    let principal = request.principal.unwrap_or_default();
    if organization.is_some() && principal != "*" {
        return Err(ApiError::parameter("OrganizationId may be given with the principal * only."));
    }
    Ok(Statement {
        id: request.statement_id.unwrap_or_default(),
        action: LAYER_ACTION.to_owned(),
        principal,
        principal_org_id: organization,
        ..Statement::default()
    })
}

fn check_id(id: Option<&str>, violations: &mut Violations) {
    let Some(id) = id else { return violations.add_missing("statementId") };
    violations.check_length(id, "statementId", ID_MAX);
    if !is_word(id) {
        violations.add(id, "statementId", Constraint::Pattern(ID_PATTERN));
    }
}

fn is_account(text: &str) -> bool {
    text.parse::<TenantId>().is_ok()
}

fn is_organization(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    id.strip_prefix("o-").is_some_and(|id| (10..=32).contains(&id.len()) && id.bytes().all(is_part))
}

/// The statement that AddPermission asks for. Errors: ValidationException, InvalidParameterValueException.
pub(crate) fn read_statement(request: PermissionRequest) -> Result<Statement, ApiError> {
    let mut violations = Violations::default();
    check_id(request.statement_id.as_deref(), &mut violations);
    match request.action.as_deref() {
        None => violations.add_missing("action"),
        Some(action) if !is_action(action) => {
            violations.add(action, "action", Constraint::Pattern(ACTION_PATTERN));
        }
        Some(_) => {}
    }
    match request.principal.as_deref() {
        None => violations.add_missing("principal"),
        Some(principal) => {
            violations.check_length(principal, "principal", PRINCIPAL_MAX);
            if principal.is_empty() || principal.contains(char::is_whitespace) {
                violations.add(principal, "principal", Constraint::Pattern(PRINCIPAL_PATTERN));
            }
        }
    }
    if let Some(account) = request.source_account.as_ref().filter(|account| !is_account(account)) {
        violations.add(account, "sourceAccount", Constraint::Pattern(ACCOUNT_PATTERN));
    }
    let auth = request.function_url_auth_type.as_deref();
    if let Some(auth) = auth.filter(|auth| !matches!(*auth, "NONE" | "AWS_IAM")) {
        violations.add(auth, "functionUrlAuthType", Constraint::OneOf("NONE, AWS_IAM"));
    }
    violations.finish()?;
    if auth.is_some() && request.action.as_deref() != Some("lambda:InvokeFunctionUrl") {
        return Err(ApiError::parameter(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action",
        ));
    }
    let principal = request.principal.unwrap_or_default();
    if !is_principal(&principal) {
        return Err(ApiError::parameter(
            "The provided principal was invalid. Please check the principal and try again.",
        ));
    }
    Ok(Statement {
        id: request.statement_id.unwrap_or_default(),
        action: request.action.unwrap_or_default(),
        principal,
        source_arn: request.source_arn,
        source_account: request.source_account,
        event_source_token: request.event_source_token,
        principal_org_id: request.principal_org_id.or(request.organization_id),
        function_url_auth_type: request.function_url_auth_type,
        invoked_via_function_url: request.invoked_via_function_url,
    })
}

/// Adds a statement. Errors: PreconditionFailed, ResourceConflict, PolicyLengthExceeded.
pub(crate) fn add(
    policy: &mut Policy,
    statement: Statement,
    revision_id: Option<&str>,
    arn: &str,
) -> Result<(), ApiError> {
    check_revision(policy, revision_id)?;
    if policy.statements.iter().any(|other| other.id == statement.id) {
        return Err(ApiError::new(
            ErrorKind::ResourceConflict,
            format!(
                "The statement id ({}) provided already exists. Please provide a new statement id, or \
                 remove the existing statement.",
                statement.id
            ),
        ));
    }
    policy.statements.push(statement);
    policy.revision_id = uuid::Uuid::new_v4().to_string();
    let bytes = policy_json(policy, arn)?.len();
    if bytes > POLICY_BYTES_MAX {
        return Err(ApiError::new(
            ErrorKind::PolicyLengthExceeded,
            format!(
                "The final policy size ({bytes}) is bigger than the limit ({POLICY_BYTES_MAX})."
            ),
        ));
    }
    Ok(())
}

/// Removes a statement. Errors: ResourceNotFound, PreconditionFailed.
pub(crate) fn remove(
    policy: Option<&mut Policy>,
    id: &str,
    revision_id: Option<&str>,
) -> Result<(), ApiError> {
    let none = |message: String| ApiError::new(ErrorKind::ResourceNotFound, message);
    let Some(policy) = policy.filter(|policy| !policy.statements.is_empty()) else {
        return Err(none("No policy is associated with the given resource.".to_owned()));
    };
    if !policy.statements.iter().any(|statement| statement.id == id) {
        return Err(none(format!("Statement {id} is not found in resource policy.")));
    }
    check_revision(policy, revision_id)?;
    policy.statements.retain(|statement| statement.id != id);
    policy.revision_id = uuid::Uuid::new_v4().to_string();
    Ok(())
}

fn check_revision(policy: &Policy, given: Option<&str>) -> Result<(), ApiError> {
    match given.filter(|given| !given.is_empty() && *given != policy.revision_id) {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorKind::PreconditionFailed,
            "The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to \
             retrieve the latest RevisionId",
        )),
    }
}

/// The policy as JSON, of the resource with this ARN.
pub(crate) fn policy_json(policy: &Policy, arn: &str) -> Result<String, ApiError> {
    let statements: Vec<Value> =
        policy.statements.iter().map(|statement| statement_value(statement, arn)).collect();
    Ok(json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements }).to_string())
}

/// One statement as JSON.
pub(crate) fn statement_json(statement: &Statement, arn: &str) -> String {
    statement_value(statement, arn).to_string()
}

fn statement_value(statement: &Statement, arn: &str) -> Value {
    let principal = match statement.principal.as_str() {
        "*" => json!("*"),
        account if is_account(account) => {
            json!({ "AWS": format!("arn:aws:iam::{account}:root") })
        }
        arn if arn.starts_with("arn:") => json!({ "AWS": arn }),
        service => json!({ "Service": service }),
    };
    let mut equals = Map::new();
    for (key, value) in [
        ("lambda:FunctionUrlAuthType", &statement.function_url_auth_type),
        ("lambda:EventSourceToken", &statement.event_source_token),
        ("AWS:SourceAccount", &statement.source_account),
        ("aws:PrincipalOrgID", &statement.principal_org_id),
    ] {
        if let Some(value) = value {
            equals.insert(key.to_owned(), json!(value));
        }
    }
    let mut condition = Map::new();
    if !equals.is_empty() {
        condition.insert("StringEquals".to_owned(), equals.into());
    }
    if let Some(source) = &statement.source_arn {
        condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": source }));
    }
    if let Some(via) = statement.invoked_via_function_url {
        let via = via.to_string();
        condition.insert("Bool".to_owned(), json!({ "lambda:InvokedViaFunctionUrl": via }));
    }
    let mut value = json!({
        "Sid": statement.id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": statement.action,
        "Resource": arn,
    });
    if let (Value::Object(members), false) = (&mut value, condition.is_empty()) {
        members.insert("Condition".to_owned(), condition.into());
    }
    value
}

fn is_action(action: &str) -> bool {
    match action.strip_prefix("lambda:") {
        Some("*") => true,
        Some(name) => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()),
        None => action == "*",
    }
}

/// Everyone, an account, someone in one, or a service.
fn is_principal(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("arn:") {
        let parts: Vec<&str> = rest.splitn(5, ':').collect();
        return matches!(parts[..], [partition, "iam" | "sts", "", account, who]
            if partition.starts_with("aws") && is_account(account) && !who.is_empty());
    }
    text == "*" || is_account(text) || (text.contains('.') && !text.starts_with('.'))
}
