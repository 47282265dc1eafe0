//! The zip of a function's or a layer's code, at the URL that GetFunction or GetLayerVersion gave out.

use super::Found;
use crate::answer::Answer;
use crate::canonical;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, answer, blocking};
use crate::layer::{self, LayerReference};
use crate::route::{LAYER_PACKAGES, PACKAGES};
use crate::signature::Presign;
use http::StatusCode;
use std::path::PathBuf;
use std::time::SystemTime;

impl<E: Engine> Inner<E> {
    pub(crate) async fn get_package(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let path = match name.strip_prefix(LAYER_PACKAGES) {
            Some(layer) => self.layer_package(call, layer)?,
            None => {
                let Found { function, .. } = self.find(call, name)?;
                self.catalog.zip_path(&function)
            }
        };
        match blocking(move || std::fs::read(path)).await? {
            Ok(zip) => Ok(answer(StatusCode::OK, zip.into(), "application/zip")),
            Err(error) => {
                tracing::error!(%error, name, "cannot read a package");
                Err(ApiError::new(ErrorKind::Service, "The code cannot be read."))
            }
        }
    }

    /// The zip of the version `OWNER/NAME/NUMBER` of a layer.
    fn layer_package(&self, call: &Call<'_>, layer: &str) -> Result<PathBuf, ApiError> {
        let parts: Vec<&str> = layer.split('/').collect();
        let [owner, name, number] = parts[..] else {
            return Err(ApiError::parameter(format!("{layer} is no version of a layer.")));
        };
        let arn = format!("arn:aws:lambda:{}:{owner}:layer:{name}", self.region);
        let number = layer::read_number(number)?;
        let version = self.usable_layer(call.tenant(), &LayerReference::parse(&arn)?, number)?;
        Ok(self.catalog.layer_zip_path(&version))
    }

    /// A URL at which the caller may download a package for some minutes.
    pub(super) fn package_url(&self, call: &Call<'_>, name: &str) -> String {
        let target = Presign {
            scheme: self.scheme.word(),
            host: canonical::host(call.parts).unwrap_or("localhost"),
            path: &format!("{PACKAGES}{name}"),
            region: &self.region,
            now: SystemTime::now(),
        };
        self.credentials.presign(&call.key, &target)
    }
}
