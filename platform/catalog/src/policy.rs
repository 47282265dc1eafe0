//! Who may do what with a function or a layer, beside its owner.
//!
//! A policy allows; nothing in it forbids. Source: Lambda developer guide, "Resource-based policies", 2026-11. Deliberately
//! knows nothing of how a policy is written as JSON.

use model::TenantId;
use serde::{Deserialize, Serialize};

/// The policy of one qualifier of a function, or of one version of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Changes with each change (UUID), for optimistic changes.
    pub revision_id: String,
    /// In the order in which they were added.
    pub statements: Vec<Statement>,
}

/// One permission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statement {
    /// Its id, unique in the policy.
    pub id: String,
    /// What is allowed, as `lambda:InvokeFunction`, `lambda:*` or `*`.
    pub action: String,
    /// To whom: an account, an ARN of one of its users or roles, a service, or `*`.
    pub principal: String,
    /// Only for this resource of a service.
    pub source_arn: Option<String>,
    /// Only for resources of this account.
    pub source_account: Option<String>,
    /// Only with this token.
    pub event_source_token: Option<String>,
    /// Only for members of this organization.
    pub principal_org_id: Option<String>,
    /// Only for function URLs of this kind, `NONE` or `AWS_IAM`.
    pub function_url_auth_type: Option<String>,
    /// Only by a function URL, or only not by one.
    pub invoked_via_function_url: Option<bool>,
}

/// What someone wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// Who; None for someone who gave no signature.
    pub account: Option<TenantId>,
    /// What, as `lambda:InvokeFunction`.
    pub action: &'a str,
    /// The kind of the function URL by which it is asked, `NONE` or `AWS_IAM`; None for the API.
    pub function_url_auth_type: Option<&'a str>,
}

impl Policy {
    /// Whether any statement allows this.
    pub fn allows(&self, access: &Access<'_>) -> bool {
        self.statements.iter().any(|statement| statement.allows(access))
    }
}

impl Statement {
    /// A condition on what this platform has no notion of (a service's resource, an organization) is met by nobody.
    fn allows(&self, access: &Access<'_>) -> bool {
        let is_action =
            matches!(self.action.as_str(), "*" | "lambda:*") || self.action == access.action;
        let url = &self.function_url_auth_type;
        let is_url = url.is_none() || url.as_deref() == access.function_url_auth_type;
        let via_url = access.function_url_auth_type.is_some();
        let is_way = self.invoked_via_function_url.is_none_or(|via| via == via_url);
        let is_bound = self.source_arn.is_some()
            || self.source_account.is_some()
            || self.event_source_token.is_some()
            || self.principal_org_id.is_some();
        is_action && is_url && is_way && !is_bound && self.means(access.account)
    }

    fn means(&self, account: Option<TenantId>) -> bool {
        if self.principal == "*" {
            return true;
        }
        let Some(account) = account.map(|account| account.to_string()) else { return false };
        // Whoever signs here signs as the account itself.
        let root =
            self.principal.strip_prefix("arn:aws:iam::").and_then(|p| p.strip_suffix(":root"));
        self.principal == account || root == Some(account.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: TenantId = TenantId::from_number(111_111_111_111);
    const BOB: TenantId = TenantId::from_number(222_222_222_222);

    fn statement(action: &str, principal: &str) -> Statement {
        let (action, principal) = (action.to_owned(), principal.to_owned());
        Statement { action, principal, ..Statement::default() }
    }

    fn allows(statement: &Statement, account: Option<TenantId>, url: Option<&str>) -> bool {
        let policy = Policy { statements: vec![statement.clone()], ..Policy::default() };
        let action =
            if url.is_some() { "lambda:InvokeFunctionUrl" } else { "lambda:InvokeFunction" };
        policy.allows(&Access { account, action, function_url_auth_type: url })
    }

    // A permission is for whom it names and for what it names, and for nobody and nothing else.
    #[test]
    fn principals_and_actions_are_exact() {
        for principal in ["111111111111", "arn:aws:iam::111111111111:root", "*"] {
            let given = statement("lambda:InvokeFunction", principal);
            assert!(allows(&given, Some(ALICE), None), "{principal}");
            assert_eq!(allows(&given, Some(BOB), None), principal == "*");
            assert_eq!(allows(&given, None, None), principal == "*");
            assert!(!allows(&given, Some(ALICE), Some("NONE")), "another action");
        }
        for principal in ["s3.amazonaws.com", "arn:aws:iam::111111111111:user/u", "1111111111", ""]
        {
            assert!(!allows(&statement("*", principal), Some(ALICE), None), "{principal}");
        }
        assert!(allows(&statement("lambda:*", "*"), None, Some("NONE")));
    }

    // A condition that cannot be met here allows nobody; one on function URLs is for those of that kind.
    #[test]
    fn conditions_hold() {
        let any = statement("*", "*");
        let some = || Some("x".to_owned());
        for bound in [
            Statement { source_arn: some(), ..any.clone() },
            Statement { source_account: some(), ..any.clone() },
            Statement { event_source_token: some(), ..any.clone() },
            Statement { principal_org_id: some(), ..any.clone() },
        ] {
            assert!(!allows(&bound, Some(ALICE), None), "{bound:?}");
        }
        let url = Statement { function_url_auth_type: Some("NONE".to_owned()), ..any.clone() };
        assert!(allows(&url, None, Some("NONE")));
        assert!(!allows(&url, Some(ALICE), Some("AWS_IAM")) && !allows(&url, Some(ALICE), None));
        let via = Statement { invoked_via_function_url: Some(true), ..any };
        assert!(allows(&via, None, Some("NONE")) && !allows(&via, Some(ALICE), None));
    }
}
