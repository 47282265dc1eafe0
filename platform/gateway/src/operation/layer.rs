//! Versions of layers: published, shown, deleted, and gathered for a function.

use super::{PageOf, empty, finish, marker, parse, store_error};
use crate::answer::Answer;
use crate::code;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::gateway::{Call, Inner, blocking, json_answer};
use crate::layer::{self, LayerReference};
use crate::route::LAYER_PACKAGES;
use crate::settings;
use crate::shape::{
    CodeRequest, LayerContent, LayerShown, LayerVersionAnswer, LayerVersionShown,
    LayerVersionsAnswer, LayersAnswer,
};
use crate::validation::Violations;
use catalog::{Access, LayerSet, LayerVersion, NewLayerVersion};
use http::StatusCode;
use model::TenantId;
use serde::Deserialize;
use std::sync::Arc;

/// Layers or versions on one page, and how many may be asked for (service model, MaxLayerListItems).
const PAGE_MAX: usize = 50;
const ITEMS_MAX: i64 = 50;

/// PublishLayerVersion.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublishRequest {
    content: Option<CodeRequest>,
    description: Option<String>,
    license_info: Option<String>,
    compatible_runtimes: Option<Vec<String>>,
    compatible_architectures: Option<Vec<String>>,
}

/// What a list of layers or versions is held to.
struct Filter {
    runtime: Option<String>,
    architecture: Option<String>,
}

impl Filter {
    fn read(call: &Call<'_>) -> Result<Self, ApiError> {
        let given = |name| call.query(name).filter(|text| !text.is_empty());
        let (runtime, architecture) = (given("CompatibleRuntime"), given("CompatibleArchitecture"));
        let mut violations = Violations::default();
        layer::check_filter(runtime.as_deref(), architecture.as_deref(), &mut violations);
        violations.finish()?;
        Ok(Self { runtime, architecture })
    }

    fn fits(&self, version: &LayerVersion) -> bool {
        let has = |asked: &Option<String>, of: &[String]| {
            asked.as_ref().is_none_or(|asked| of.contains(asked))
        };
        has(&self.runtime, &version.runtimes) && has(&self.architecture, &version.architectures)
    }
}

impl<E: Engine> Inner<E> {
    pub(super) async fn publish_layer(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.own_layer(&call, name, "lambda:PublishLayerVersion")?.to_owned();
        let (inner, tenant, body) = (self.clone(), call.tenant(), call.body.clone());
        let published = blocking(move || {
            let (new, zip) = inner.read_publish(tenant, name, &body)?;
            inner.check_code_storage(tenant, zip.len() as u64)?;
            let package = code::store(&inner.catalog, &zip)?;
            let bytes = inner.catalog.unpacked_bytes(&package);
            let bytes = bytes.map_err(|error| code::package_error(&error))?;
            inner.catalog.publish_layer(new, package, bytes).map_err(store_error)
        });
        let version = published.await??;
        json_answer(StatusCode::CREATED, &self.layer_answer(&call, &version))
    }

    fn read_publish(
        &self,
        tenant: TenantId,
        name: String,
        body: &[u8],
    ) -> Result<(NewLayerVersion, Vec<u8>), ApiError> {
        let request: PublishRequest = parse(body)?;
        let description = request.description.unwrap_or_default();
        let runtimes = request.compatible_runtimes.unwrap_or_default();
        let architectures = request.compatible_architectures.unwrap_or_default();
        let mut violations = Violations::default();
        if request.content.is_none() {
            violations.add_missing("content");
        }
        settings::check_description(&description, &mut violations);
        layer::check_license(request.license_info.as_deref().unwrap_or(""), &mut violations);
        layer::check_compatible(&runtimes, &architectures, &mut violations);
        violations.finish()?;
        let zip = code::decode(request.content.unwrap_or_default(), "layer")?;
        let new = NewLayerVersion {
            tenant,
            name,
            region: self.region.clone(),
            description,
            license: request.license_info,
            runtimes,
            architectures,
        };
        Ok((new, zip))
    }

    pub(super) fn list_layers(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let filter = Filter::read(call)?;
        let of = PageOf::read(call, ITEMS_MAX, PAGE_MAX)?;
        let page = self
            .catalog
            .list_layers(call.tenant(), of.after.as_deref(), of.limit, |it| filter.fits(it));
        let layers = page.layers.iter().map(|version| LayerShown::of(version)).collect();
        let next_marker = page.next_after.as_deref().map(marker);
        json_answer(StatusCode::OK, &LayersAnswer { next_marker, layers })
    }

    pub(super) fn list_layer_versions(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.own_layer(call, name, "lambda:ListLayerVersions")?;
        let filter = Filter::read(call)?;
        let of = PageOf::read(call, ITEMS_MAX, PAGE_MAX)?;
        let below = of.after.as_deref().map(str::parse).transpose();
        let below = below.map_err(|_| ApiError::parameter("Marker is not valid."))?;
        let fits = |version: &LayerVersion| filter.fits(version);
        let (versions, more) =
            self.catalog.list_layer_versions(call.tenant(), name, below, of.limit, fits);
        let last = versions.last().filter(|_| more);
        let next_marker = last.map(|version| marker(&version.number.to_string()));
        let layer_versions = versions.iter().map(|it| LayerVersionShown::of(it)).collect();
        json_answer(StatusCode::OK, &LayerVersionsAnswer { next_marker, layer_versions })
    }

    pub(super) fn get_layer(
        &self,
        call: &Call<'_>,
        name: &str,
        number: &str,
    ) -> Result<Answer, ApiError> {
        let reference = LayerReference::parse(name)?;
        let number = layer::read_number(number)?;
        let version = self.usable_layer(call.tenant(), &reference, number)?;
        json_answer(StatusCode::OK, &self.layer_answer(call, &version))
    }

    pub(super) fn get_layer_by_arn(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let arn = call.query("Arn").unwrap_or_default();
        let mut violations = Violations::default();
        layer::check_arn(&arn, &mut violations);
        violations.finish()?;
        let (reference, number) =
            LayerReference::parse_version(&arn).ok_or_else(|| layer::no_version(&arn))?;
        let version = self.usable_layer(call.tenant(), &reference, number)?;
        json_answer(StatusCode::OK, &self.layer_answer(call, &version))
    }

    /// Deletes one version; that there is none is no error, as at AWS.
    pub(super) async fn delete_layer(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
        number: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.own_layer(call, name, "lambda:DeleteLayerVersion")?.to_owned();
        let number = layer::read_number(number)?;
        let (inner, tenant) = (self.clone(), call.tenant());
        let work = async move {
            let keeper = inner.clone();
            let gone = blocking(move || keeper.catalog.delete_layer_version(tenant, &name, number));
            if gone.await?.map_err(store_error)? {
                inner.collect().await;
            }
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    /// The layers that a function is to have, where a request names any. Blocks on the disk.
    pub(super) fn gather_layers(
        &self,
        caller: TenantId,
        arns: Option<Vec<String>>,
    ) -> Result<Option<LayerSet>, ApiError> {
        let Some(arns) = arns else { return Ok(None) };
        let mut asked = Vec::new();
        for arn in &arns {
            let version = LayerReference::parse_version(arn);
            asked.push((version.ok_or_else(|| none_for_function(arn))?, arn.as_str()));
        }
        let layers: Vec<_> = asked.iter().map(|((layer, _), arn)| (*layer, *arn)).collect();
        layer::check_together(&layers)?;
        let versions = asked
            .iter()
            .map(|((layer, number), arn)| {
                layer.check_region(&self.region)?;
                match self.allowed_layer(caller, layer, *number)? {
                    Some(version) => Ok(version),
                    None => Err(none_for_function(arn)),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let gathered = self.catalog.gather_layers(&versions);
        let gathered = gathered.map_err(|error| code::package_error(&error))?;
        gathered.map(Some).ok_or_else(|| none_for_function(&arns.join(", ")))
    }

    /// A version that the caller may see and use.
    pub(super) fn usable_layer(
        &self,
        caller: TenantId,
        layer: &LayerReference<'_>,
        number: u64,
    ) -> Result<Arc<LayerVersion>, ApiError> {
        layer.check_region(&self.region)?;
        self.allowed_layer(caller, layer, number)?.ok_or_else(|| {
            layer::no_version(&self.layer_arn(layer.owner(caller), layer.name, number))
        })
    }

    /// A version, if it is there. Another account's is refused in the same words whether or not it is there, unless its
    /// policy lets the caller in.
    fn allowed_layer(
        &self,
        caller: TenantId,
        layer: &LayerReference<'_>,
        number: u64,
    ) -> Result<Option<Arc<LayerVersion>>, ApiError> {
        let owner = layer.owner(caller);
        let version = self.catalog.layer_version(owner, layer.name, number);
        let action = "lambda:GetLayerVersion";
        let access = Access { account: Some(caller), action, function_url_auth_type: None };
        let allows = |version: &Arc<LayerVersion>| version.policy.allows(&access);
        if owner != caller && !version.as_ref().is_some_and(allows) {
            return Err(layer::denied(caller, action, &self.layer_arn(owner, layer.name, number)));
        }
        Ok(version)
    }

    /// The name of a layer that must be the caller's own.
    pub(super) fn own_layer<'a>(
        &self,
        call: &Call<'_>,
        name: &'a str,
        action: &str,
    ) -> Result<&'a str, ApiError> {
        let reference = LayerReference::parse(name)?;
        reference.check_region(&self.region)?;
        if reference.owner(call.tenant()) != call.tenant() {
            return Err(layer::denied(call.tenant(), action, name));
        }
        Ok(reference.name)
    }

    pub(super) fn layer_arn(&self, owner: TenantId, name: &str, number: u64) -> String {
        format!("arn:aws:lambda:{}:{owner}:layer:{name}:{number}", self.region)
    }

    fn layer_answer<'a>(
        &self,
        call: &Call<'_>,
        version: &'a LayerVersion,
    ) -> LayerVersionAnswer<'a> {
        let (owner, name, number) = (version.tenant, &version.name, version.number);
        let location = self.package_url(call, &format!("{LAYER_PACKAGES}{owner}/{name}/{number}"));
        LayerVersionAnswer {
            content: LayerContent::of(version, location),
            layer_arn: version.layer_arn(),
            version: LayerVersionShown::of(version),
        }
    }
}

fn none_for_function(arn: &str) -> ApiError {
    ApiError::parameter(format!("Layer version {arn} does not exist."))
}
