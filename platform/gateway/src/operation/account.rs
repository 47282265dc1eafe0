//! What an account has and may have.

use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, json_answer};
use crate::shape::{AccountLimit, AccountSettings, AccountUsage};
use catalog::PackageLimits;
use http::StatusCode;
use model::TenantId;

impl<E: Engine> Inner<E> {
    /// Refuses code that the tenant has no room for any more.
    pub(super) fn check_code_storage(&self, tenant: TenantId, more: u64) -> Result<(), ApiError> {
        let (used, limit) = (self.catalog.holdings(tenant).code_bytes, self.limits.code_bytes);
        if used.saturating_add(more) <= limit {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::CodeStorageExceeded,
            format!(
                "Code storage limit exceeded: {used} of {limit} bytes are used, and {more} more are \
                 asked for. Delete functions, versions or layers."
            ),
        ))
    }

    pub(crate) fn get_account_settings(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let holdings = self.catalog.holdings(call.tenant());
        let package = PackageLimits::default();
        let account_limit = AccountLimit {
            total_code_size: self.limits.code_bytes,
            code_size_unzipped: package.unpacked_bytes,
            code_size_zipped: package.zipped_bytes,
            concurrent_executions: self.limits.concurrency,
            unreserved_concurrent_executions: self
                .limits
                .concurrency
                .saturating_sub(self.set_aside(call.tenant(), None)),
        };
        let account_usage = AccountUsage {
            total_code_size: holdings.code_bytes,
            function_count: holdings.functions,
        };
        json_answer(StatusCode::OK, &AccountSettings { account_limit, account_usage })
    }
}
