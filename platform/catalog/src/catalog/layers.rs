//! Layers: published, shown, deleted, and gathered for a function.

use super::{Catalog, EditLayerError, SizeError, decode, encode, unix_ms};
use crate::layer::{LayerSet, LayerVersion, NewLayerVersion, UsedLayer};
use crate::package::PackageError;
use crate::shelf::StoredPackage;
use crate::store::{Batch, Durable, Store, StoreError, Table, number};
use model::TenantId;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Versions of layers as JSON, by `tenant/name/number`.
const LAYERS: Table = Table::new("layers");
/// The last number that each layer has given out, by `tenant/name`; it outlives its versions.
const LAST_NUMBERS: Table = Table::new("layer_numbers");

/// A layer in memory.
#[derive(Clone, Debug, Default)]
struct Layer {
    last_number: u64,
    versions: BTreeMap<u64, Arc<LayerVersion>>,
}

/// All layers of all tenants.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<TenantId, BTreeMap<String, Layer>>);

/// A page of a tenant's layers.
#[derive(Clone, Debug, Default)]
pub struct LayerPage {
    /// Of each layer its latest version of those that fit, by name.
    pub layers: Vec<Arc<LayerVersion>>,
    /// Name of the last one, where there are more.
    pub next_after: Option<String>,
}

impl Layers {
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        let mut layers = Self::default();
        for (key, value) in store.scan(LAYERS, Bound::Unbounded, usize::MAX)? {
            let version: LayerVersion = decode(&key, &value)?;
            let key = key_of(version.tenant, &version.name);
            let last = store.get(LAST_NUMBERS, key.as_bytes())?;
            let last = last.map_or(version.number, |last| number(&last));
            layers.set(version, last);
        }
        Ok(layers)
    }

    /// Versions of all layers of all tenants.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<LayerVersion>> {
        self.0.values().flat_map(BTreeMap::values).flat_map(|layer| layer.versions.values())
    }

    /// Bytes of the zips of a tenant's layers.
    pub(super) fn code_bytes(&self, tenant: TenantId) -> u64 {
        let layers = self.0.get(&tenant).into_iter().flat_map(BTreeMap::values);
        let versions = layers.flat_map(|layer| layer.versions.values());
        versions.fold(0, |sum, version| sum.saturating_add(version.size))
    }

    fn layer(&self, tenant: TenantId, name: &str) -> Option<&Layer> {
        self.0.get(&tenant)?.get(name)
    }

    fn set(&mut self, version: LayerVersion, last_number: u64) {
        let named = self.0.entry(version.tenant).or_default();
        let layer = named.entry(version.name.clone()).or_default();
        layer.last_number = layer.last_number.max(last_number);
        layer.versions.insert(version.number, Arc::new(version));
    }
}

impl Catalog {
    /// Publishes a version of a layer; durable when this returns. Errors: [`StoreError`].
    pub fn publish_layer(
        &self,
        new: NewLayerVersion,
        package: StoredPackage,
        unpacked_bytes: u64,
    ) -> Result<Arc<LayerVersion>, StoreError> {
        let _lock = self.lock(new.tenant, &new.name);
        let key = key_of(new.tenant, &new.name);
        let last = match self.read(|memory| {
            memory.layers.layer(new.tenant, &new.name).map(|layer| layer.last_number)
        }) {
            Some(last) => last,
            None => self.store.get(LAST_NUMBERS, key.as_bytes())?.map_or(0, |it| number(&it)),
        };
        let version = LayerVersion {
            tenant: new.tenant,
            name: new.name,
            number: last + 1,
            region: new.region,
            description: new.description,
            license: new.license,
            runtimes: new.runtimes,
            architectures: new.architectures,
            digest: package.digest.clone(),
            size: package.size,
            unpacked_bytes,
            created_unix_ms: unix_ms(),
            policy: Default::default(),
        };
        let mut batch = Batch::new();
        batch.put(LAYERS, version_key(&version), encode(&version));
        batch.raise(LAST_NUMBERS, key, version.number);
        self.store.write(batch, Durable::Now)?;
        let (tenant, name, number) = (version.tenant, version.name.clone(), version.number);
        let shown = Arc::new(version.clone());
        self.memory_mut().layers.set(version, number);
        self.let_go([package]);
        tracing::debug!(%tenant, name, number, "a version of a layer was published");
        Ok(shown)
    }

    /// One version of a layer. Never waits for the disk.
    pub fn layer_version(
        &self,
        tenant: TenantId,
        name: &str,
        number: u64,
    ) -> Option<Arc<LayerVersion>> {
        self.read(|memory| memory.layers.layer(tenant, name)?.versions.get(&number).cloned())
    }

    /// Up to `limit` of a tenant's layers by name, beginning after the name `after`: the latest version of each of which
    /// `fits` holds.
    pub fn list_layers(
        &self,
        tenant: TenantId,
        after: Option<&str>,
        limit: usize,
        fits: impl Fn(&LayerVersion) -> bool,
    ) -> LayerPage {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|memory| {
            let Some(named) = memory.layers.0.get(&tenant) else { return LayerPage::default() };
            let rest = named.range::<str, _>((start, Bound::Unbounded));
            let latest = |layer: &Layer| {
                layer.versions.values().rev().find(|version| fits(version)).cloned()
            };
            let mut rest = rest.filter_map(|(_, layer)| latest(layer));
            let layers: Vec<_> = rest.by_ref().take(limit).collect();
            let more = rest.next().is_some();
            let next_after = layers.last().filter(|_| more).map(|last| last.name.clone());
            LayerPage { layers, next_after }
        })
    }

    /// Up to `limit` versions of a layer, the latest first, beginning below the number `below`; and whether there are more.
    pub fn list_layer_versions(
        &self,
        tenant: TenantId,
        name: &str,
        below: Option<u64>,
        limit: usize,
        fits: impl Fn(&LayerVersion) -> bool,
    ) -> (Vec<Arc<LayerVersion>>, bool) {
        self.read(|memory| {
            let Some(layer) = memory.layers.layer(tenant, name) else { return Default::default() };
            let range = layer.versions.range(..below.unwrap_or(u64::MAX)).rev();
            let mut rest = range.map(|(_, version)| version).filter(|version| fits(version));
            let versions: Vec<_> = rest.by_ref().take(limit).cloned().collect();
            (versions, rest.next().is_some())
        })
    }

    /// Deletes a version of a layer; durable when this returns. Functions that use it go on. Answers whether there was one.
    pub fn delete_layer_version(
        &self,
        tenant: TenantId,
        name: &str,
        number: u64,
    ) -> Result<bool, StoreError> {
        let _lock = self.lock(tenant, name);
        let Some(version) = self.layer_version(tenant, name, number) else { return Ok(false) };
        let mut batch = Batch::new();
        batch.remove(LAYERS, version_key(&version));
        self.store.write(batch, Durable::Now)?;
        let mut memory = self.memory_mut();
        if let Some(named) = memory.layers.0.get_mut(&tenant)
            && let Some(layer) = named.get_mut(name)
        {
            layer.versions.remove(&number);
        }
        Ok(true)
    }

    /// Changes who may use a version of a layer; durable when this returns. `change` may refuse; then nothing is changed.
    pub fn edit_layer_version<T, E: From<EditLayerError>>(
        &self,
        tenant: TenantId,
        name: &str,
        number: u64,
        change: impl FnOnce(&mut LayerVersion) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock(tenant, name);
        let Some(version) = self.layer_version(tenant, name, number) else {
            return Err(EditLayerError::NoVersion { name: name.to_owned(), number }.into());
        };
        let mut changed = LayerVersion::clone(&version);
        let made = change(&mut changed)?;
        if changed != *version {
            let mut batch = Batch::new();
            batch.put(LAYERS, version_key(&changed), encode(&changed));
            let written = self.store.write(batch, Durable::Now);
            written.map_err(|error| E::from(EditLayerError::Store(error)))?;
            self.memory_mut().layers.set(changed, number);
        }
        Ok(made)
    }

    /// Gathers versions of layers for a function, in this order; None where the files of one are gone, since it was deleted
    /// meanwhile. Blocks on the disk where several are to be merged. Errors: [`PackageError::Io`].
    pub fn gather_layers(
        &self,
        versions: &[Arc<LayerVersion>],
    ) -> Result<Option<LayerSet>, PackageError> {
        let layers: Vec<UsedLayer> = versions
            .iter()
            .map(|version| UsedLayer {
                arn: version.arn(),
                digest: version.digest.clone(),
                size: version.size,
                unpacked_bytes: version.unpacked_bytes,
            })
            .collect();
        let held = layers.iter().map(|layer| self.shelf.hold(&layer.digest, layer.size));
        let Some(mut packages) = held.collect::<Option<Vec<_>>>() else { return Ok(None) };
        packages.extend(self.shelf.merge(&layers)?);
        let directory = self.shelf.layers_tree(&layers);
        Ok(Some(LayerSet { layers, directory, packages }))
    }

    /// Bytes of all files of a package. Blocks on the disk. Errors: [`PackageError::Io`].
    pub fn unpacked_bytes(&self, package: &StoredPackage) -> Result<u64, PackageError> {
        self.shelf.unpacked_bytes(&package.digest)
    }

    /// Where the zip of a version of a layer is, as it was uploaded.
    pub fn layer_zip_path(&self, version: &LayerVersion) -> std::path::PathBuf {
        self.shelf.zip(&version.digest)
    }

    /// Refuses code and layers that are more together than one function may have. A function without layers has been
    /// measured when its package came in.
    pub(super) fn check_size(
        &self,
        code_digest: &str,
        layers: &[UsedLayer],
    ) -> Result<(), SizeError> {
        if layers.is_empty() {
            return Ok(());
        }
        let code = self.shelf.unpacked_bytes(code_digest)?;
        let bytes = code.saturating_add(LayerSet::unpacked_bytes(layers));
        let limit = self.shelf.limits().unpacked_bytes;
        match bytes > limit {
            true => Err(SizeError::TooLarge { bytes, limit }),
            false => Ok(()),
        }
    }
}

fn key_of(tenant: TenantId, name: &str) -> String {
    format!("{tenant}/{name}")
}

fn version_key(version: &LayerVersion) -> String {
    format!("{}/{}", key_of(version.tenant, &version.name), version.number)
}
