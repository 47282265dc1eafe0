//! What an account has and may have.

use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::gateway::{Call, Inner, json_answer};
use crate::shape::{AccountLimit, AccountSettings, AccountUsage};
use catalog::PackageLimits;
use http::StatusCode;

/// Bytes of all code of one account (AWS Lambda quotas, 2026-11): told, not enforced.
const TOTAL_CODE_BYTES: u64 = 75 << 30;

impl<E: Engine> Inner<E> {
    pub(crate) fn get_account_settings(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let holdings = self.catalog.holdings(call.tenant());
        let package = PackageLimits::default();
        let account_limit = AccountLimit {
            total_code_size: TOTAL_CODE_BYTES,
            code_size_unzipped: package.unpacked_bytes,
            code_size_zipped: package.zipped_bytes,
            concurrent_executions: self.limits.concurrency,
            unreserved_concurrent_executions: self.limits.concurrency,
        };
        let account_usage = AccountUsage {
            total_code_size: holdings.code_bytes,
            function_count: holdings.functions,
        };
        json_answer(StatusCode::OK, &AccountSettings { account_limit, account_usage })
    }
}
