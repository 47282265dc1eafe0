//! The zip of a function's code, at the URL that GetFunction gave out.

use super::Found;
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, answer, blocking};
use http::StatusCode;

impl<E: Engine> Inner<E> {
    pub(crate) async fn get_package(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let Found { function, .. } = self.find(call, name)?;
        let path = self.catalog.zip_path(&function);
        match blocking(move || std::fs::read(path)).await? {
            Ok(zip) => Ok(answer(StatusCode::OK, zip.into(), "application/zip")),
            Err(error) => {
                tracing::error!(%error, function = function.name, "cannot read a package");
                Err(ApiError::new(ErrorKind::Service, "The function's code cannot be read."))
            }
        }
    }
}
