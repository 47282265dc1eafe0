//! The code of a function or a layer on its way in: from Base64 in a request to a stored package, or the error that AWS gives.
//!
//! Deliberately knows nothing of either.

use crate::error::{ApiError, ErrorKind};
use crate::settings;
use crate::shape::CodeRequest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use catalog::{Catalog, PackageError, StoredPackage};
use std::io::ErrorKind as IoErrorKind;

/// The zip that a request carries for `what`, a function or a layer.
pub(crate) fn decode(code: CodeRequest, what: &str) -> Result<Vec<u8>, ApiError> {
    if code.source_kms_key_arn.is_some_and(|arn| !arn.is_empty()) {
        return Err(settings::absent("SourceKMSKeyArn"));
    }
    let Some(text) = code.zip_file else {
        let name = match (&code.s3_bucket, &code.s3_key, &code.image_uri) {
            (None, None, None) => {
                return Err(ApiError::parameter(format!(
                    "Please provide a source for {what} code."
                )));
            }
            (_, _, Some(_)) => "ImageUri",
            _ => "S3Bucket",
        };
        return Err(ApiError::parameter(format!(
            "{name} is not supported by this platform: send the code as ZipFile."
        )));
    };
    let zip = BASE64_STANDARD.decode(text).map_err(|error| {
        ApiError::new(ErrorKind::Serialization, format!("ZipFile is not Base64: {error}"))
    })?;
    if zip.is_empty() {
        return Err(ApiError::parameter("Uploaded file must be a non-empty zip"));
    }
    Ok(zip)
}

/// Has the catalog take a zip in. Blocks on the disk.
pub(crate) fn store(catalog: &Catalog, zip: &[u8]) -> Result<StoredPackage, ApiError> {
    catalog.store_package(zip).map_err(|error| package_error(&error))
}

/// Why a package cannot be taken in, measured or merged, as AWS says it.
pub(crate) fn package_error(error: &PackageError) -> ApiError {
    match error {
        PackageError::NotZip { reason } => ApiError::parameter(format!(
            "Could not unzip uploaded file. Please check your file, then try to upload again. \
             ({reason})"
        )),
        PackageError::Empty => ApiError::parameter("Uploaded file must be a non-empty zip"),
        PackageError::UnpackedTooLarge { limit } => {
            ApiError::parameter(format!("Unzipped size must be smaller than {limit} bytes"))
        }
        PackageError::ZippedTooLarge { limit, .. } => ApiError::new(
            ErrorKind::RequestEntityTooLarge,
            format!("Zipped size must be smaller than {limit} bytes"),
        ),
        PackageError::Io { path, source } => {
            tracing::error!(%source, path = %path.display(), "cannot store a package");
            match source.kind() {
                IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded => disk_is_full(),
                _ => ApiError::new(ErrorKind::Service, format!("Cannot store the code: {source}")),
            }
        }
        refused => ApiError::parameter(format!(
            "Could not unzip uploaded file. Please check your file, then try to upload again. \
             ({refused})"
        )),
    }
}

/// What there is no room for.
pub(crate) fn disk_is_full() -> ApiError {
    ApiError::new(
        ErrorKind::CodeStorageExceeded,
        "Code storage limit exceeded: the platform's disk is full. Delete functions or layers, or have space \
         freed in its data directory.",
    )
}
