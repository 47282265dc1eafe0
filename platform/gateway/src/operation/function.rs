//! Functions: created, shown, changed, deleted.

use super::version::PublishAsked;
use super::{Found, PageOf, empty, finish, marker, parse, revision_error, store_error};
use crate::answer::Answer;
use crate::code;
use crate::engine::{Engine, PrepareFailed};
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, blocking, failed_state, json_answer};
use crate::layer;
use crate::reference::{Reference, is_latest};
use crate::settings;
use crate::shape::{
    AbsentSettings, CodeLocation, CodeRequest, Concurrency, Configuration, CreateRequest,
    GetAnswer, ListAnswer, SettingsRequest, UpdateCodeRequest,
};
use crate::validation::{Constraint, Violations};
use catalog::{
    CreateError, Function, NewFunction, SettingsChange, State, UpdateError, UpdateOf, Updated,
    Version,
};
use http::StatusCode;
use model::TenantId;
use std::sync::Arc;

/// Functions on one page of ListFunctions, however many are asked for (AWS Lambda API reference, 2026-11).
const PAGE_MAX: usize = 50;
/// Functions that may be asked for at once (service model, 2026-11).
const ITEMS_MAX: i64 = 10_000;

/// Whether a version is to be published of what an operation leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publish {
    No,
    Yes,
}

impl Publish {
    fn asked(asked: Option<bool>) -> Self {
        if asked == Some(true) { Self::Yes } else { Self::No }
    }
}

/// What an update is to change.
enum Change {
    Code(Vec<u8>),
    Settings(Box<SettingsChange>),
}

impl<E: Engine> Inner<E> {
    pub(crate) async fn create_function(
        self: &Arc<Self>,
        call: Call<'_>,
    ) -> Result<Answer, ApiError> {
        let (inner, tenant) = (self.clone(), call.tenant());
        let work = async move {
            let reader = inner.clone();
            let body = call.body;
            let (new, zip, publish) = blocking(move || reader.read_create(tenant, &body)).await??;
            let keeper = inner.clone();
            let created = blocking(move || {
                if keeper.catalog.get(tenant, &new.name).is_some() {
                    return Err(create_error(CreateError::Exists { name: new.name }));
                }
                let times = if publish == Publish::Yes { 2 } else { 1 };
                keeper.check_code_storage(tenant, zip.len() as u64 * times)?;
                let package = code::store(&keeper.catalog, &zip)?;
                keeper.catalog.create(new, package).map_err(create_error)
            })
            .await??;
            if let Some(entry) = inner.catalog.entry(tenant, &created.name) {
                inner.share_any(&entry);
            }
            let shown = match publish {
                Publish::No => Ok(created.clone()),
                Publish::Yes => {
                    inner.publish(tenant, created.name.clone(), PublishAsked::default()).await
                }
            };
            tokio::spawn(inner.clone().deploy_and_mark(created));
            let shown = shown?;
            json_answer(StatusCode::CREATED, &Configuration::whole(&shown))
        };
        finish(work).await
    }

    fn read_create(
        &self,
        tenant: TenantId,
        body: &[u8],
    ) -> Result<(NewFunction, Vec<u8>, Publish), ApiError> {
        let request: CreateRequest = parse(body)?;
        let asked: SettingsRequest = parse(body)?;
        let absent: AbsentSettings = parse(body)?;
        let mut violations = Violations::default();
        if request.function_name.is_none() {
            violations.add_missing("functionName");
        }
        if asked.role.is_none() {
            violations.add_missing("role");
        }
        if request.code.is_none() {
            violations.add_missing("code");
        }
        settings::check(&asked, &self.limits, &mut violations);
        let own = architecture();
        let fits =
            settings::check_architectures(request.architectures.as_deref(), own, &mut violations);
        violations.finish()?;
        fits?;
        let name = request.function_name.unwrap_or_default();
        let reference = Reference::parse(&name)?;
        if reference.check(tenant, &self.region, None)?.is_some() {
            return Err(ApiError::parameter(format!(
                "FunctionName {name} names a version: leave the qualifier out."
            )));
        }
        if request.package_type.as_deref().is_some_and(|kind| kind != "Zip") {
            return Err(ApiError::parameter(
                "PackageType Image is not supported by this platform: send a zip.",
            ));
        }
        settings::refuse_absent(&absent)?;
        let tags = request.tags.unwrap_or_default();
        settings::check_tags(&tags)?;
        let layers = asked.layers.clone();
        let mut change = settings::change(asked, &self.engine.runtimes())?;
        change.layers = self.gather_layers(tenant, layers)?;
        let settings = settings::complete(change)?;
        let zip = code::decode(request.code.unwrap_or_default(), "function")?;
        let (name, region) = (reference.name.to_owned(), self.region.clone());
        let architecture = own.to_owned();
        let new = NewFunction { tenant, name, region, architecture, tags, settings };
        Ok((new, zip, Publish::asked(request.publish)))
    }

    pub(crate) fn get_function(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let Found { function, qualifier } = self.find(call, name)?;
        let location = self.package_url(
            call,
            &match function.version {
                Version::Latest => function.name.clone(),
                version => format!("{}:{version}", function.name),
            },
        );
        let code = CodeLocation { repository_type: "S3", location };
        let configuration = Configuration::whole(&function).qualified(qualifier.as_deref());
        let entry = self.catalog.entry(call.tenant(), &function.name);
        let attachments = entry.as_ref().map(|entry| &entry.attachments);
        let tags = attachments.map(|it| &it.tags);
        let concurrency = attachments
            .and_then(|it| it.reserved_concurrency)
            .map(|reserved| Concurrency { reserved_concurrent_executions: reserved });
        json_answer(StatusCode::OK, &GetAnswer { configuration, code, tags, concurrency })
    }

    pub(crate) fn get_configuration(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let Found { function, qualifier } = self.find(call, name)?;
        let configuration = Configuration::whole(&function).qualified(qualifier.as_deref());
        json_answer(StatusCode::OK, &configuration)
    }

    pub(crate) fn list_functions(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let of = PageOf::read(call, ITEMS_MAX, PAGE_MAX)?;
        match call.query("FunctionVersion").as_deref() {
            None => {}
            Some("ALL") => return self.list_states(call, &of),
            Some(other) => {
                let mut violations = Violations::default();
                violations.add(other, "functionVersion", Constraint::OneOf("ALL"));
                violations.finish()?;
            }
        }
        // Functions of another region are none of this platform's.
        let region = call.query("MasterRegion");
        if region.is_some_and(|region| region != "ALL" && region != self.region) {
            return json_answer(StatusCode::OK, &ListAnswer::default());
        }
        let page = self.catalog.list(call.tenant(), of.after.as_deref(), of.limit);
        let latest = page.entries.iter().map(|entry| &entry.latest);
        let functions = latest.map(|function| Configuration::listed(function)).collect();
        let next_marker = page.next_after.as_deref().map(marker);
        json_answer(StatusCode::OK, &ListAnswer { next_marker, functions })
    }

    pub(crate) async fn update_code(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.name(&call, name)?;
        let (inner, tenant) = (self.clone(), call.tenant());
        let work = async move {
            let body = call.body;
            let (request, zip) = blocking(move || read_update_code(&body)).await??;
            let revision_id = request.revision_id.as_deref();
            let of = UpdateOf { tenant, name: &name, revision_id };
            let current = inner
                .catalog
                .check_update(of)
                .map_err(|error| inner.update_error(tenant, error))?;
            if request.dry_run == Some(true) {
                let keeper = inner.clone();
                blocking(move || code::store(&keeper.catalog, &zip).map(drop)).await??;
                return json_answer(StatusCode::OK, &Configuration::whole(&current));
            }
            let change = Change::Code(zip);
            let updating = inner.clone();
            let function =
                updating.update(tenant, name.clone(), request.revision_id, change).await?;
            if Publish::asked(request.publish) == Publish::No
                || matches!(function.last_update, State::Failed { .. })
            {
                return json_answer(StatusCode::OK, &Configuration::whole(&function));
            }
            let version = inner.publish(tenant, name, PublishAsked::default()).await?;
            let qualifier = version.version.to_string();
            let configuration = Configuration::whole(&version).qualified(Some(&qualifier));
            json_answer(StatusCode::OK, &configuration)
        };
        finish(work).await
    }

    pub(crate) async fn update_configuration(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.name(&call, name)?;
        let asked: SettingsRequest = parse(&call.body)?;
        let absent: AbsentSettings = parse(&call.body)?;
        let mut violations = Violations::default();
        settings::check(&asked, &self.limits, &mut violations);
        violations.finish()?;
        settings::refuse_absent(&absent)?;
        let revision_id = asked.revision_id.clone();
        let layers = asked.layers.clone();
        let mut change = Box::new(settings::change(asked, &self.engine.runtimes())?);
        let (inner, tenant) = (self.clone(), call.tenant());
        let work = async move {
            let gatherer = inner.clone();
            change.layers = blocking(move || gatherer.gather_layers(tenant, layers)).await??;
            let change = Change::Settings(change);
            let function = inner.update(tenant, name, revision_id, change).await?;
            json_answer(StatusCode::OK, &Configuration::whole(&function))
        };
        finish(work).await
    }

    /// Makes an update durable and effective; what it returns tells how either went.
    async fn update(
        self: Arc<Self>,
        tenant: TenantId,
        name: String,
        revision_id: Option<String>,
        change: Change,
    ) -> Result<Arc<Function>, ApiError> {
        let keeper = self.clone();
        let updated = blocking(move || {
            let of = UpdateOf { tenant, name: &name, revision_id: revision_id.as_deref() };
            let updated = match change {
                Change::Code(zip) => {
                    let before = keeper.catalog.get(tenant, &name).map_or(0, |f| f.code_size);
                    let more = (zip.len() as u64).saturating_sub(before);
                    keeper.check_code_storage(tenant, more)?;
                    keeper.catalog.update_code(of, code::store(&keeper.catalog, &zip)?)
                }
                Change::Settings(change) => keeper.catalog.update_settings(of, *change),
            };
            updated.map_err(|error| keeper.update_error(tenant, error))
        })
        .await??;
        let function = match self.deploy(updated.current.clone()).await {
            Ok(()) => self.mark(updated.current, State::Active).await,
            Err(failed) => self.take_back(updated, failed).await,
        };
        self.deployed.send_modify(|count| *count += 1);
        self.collect().await;
        function
    }

    /// After an update that could not be made ready: the function goes on as it was, where it was ready before.
    async fn take_back(
        self: &Arc<Self>,
        updated: Updated,
        failed: PrepareFailed,
    ) -> Result<Arc<Function>, ApiError> {
        tracing::warn!(function = updated.current.name, %failed, "an update is taken back");
        let state = failed_state(failed);
        if updated.previous.state != State::Active {
            return self.mark(updated.current, state).await;
        }
        let (keeper, current) = (self.clone(), updated.current.clone());
        let reverted = blocking(move || keeper.catalog.revert(&updated)).await?;
        let Some(reverted) = reverted.map_err(store_error)? else {
            return Err(ApiError::no_function(&current.arn()));
        };
        if let Err(failed) = self.deploy(reverted.clone()).await {
            return self.mark(reverted, failed_state(failed)).await;
        }
        let keeper = self.clone();
        let marked = blocking(move || keeper.catalog.mark_reverted(&reverted, state)).await?;
        marked.map_err(store_error)?.ok_or_else(|| ApiError::no_function(&current.arn()))
    }

    async fn mark(
        self: &Arc<Self>,
        function: Arc<Function>,
        state: State,
    ) -> Result<Arc<Function>, ApiError> {
        let keeper = self.clone();
        let arn = function.arn();
        let marked = blocking(move || keeper.catalog.mark(&function, state)).await?;
        marked.ok_or_else(|| ApiError::no_function(&arn))
    }

    pub(crate) async fn delete_function(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let reference = Reference::parse(name)?;
        let (inner, tenant) = (self.clone(), call.tenant());
        let asked = call.query("Qualifier");
        let qualifier = reference.check(tenant, &self.region, asked.as_deref())?;
        if is_latest(qualifier) && qualifier.is_some() {
            return Err(ApiError::parameter(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        if let Some(qualifier) = qualifier {
            let Ok(Version::Number(number)) = qualifier.parse() else {
                return Err(ApiError::parameter(
                    "Deletion of aliases is not currently supported by DeleteFunction: use \
                     DeleteAlias.",
                ));
            };
            let entry = self.catalog.entry(tenant, reference.name);
            let entry = entry
                .ok_or_else(|| ApiError::no_function(&self.arn(tenant, reference.name, None)))?;
            let work = async move {
                inner.delete_version(tenant, entry, number).await?;
                inner.collect().await;
                Ok(empty(StatusCode::NO_CONTENT))
            };
            return finish(work).await;
        }
        let name = reference.name.to_owned();
        let work = async move {
            if let Some(function) = inner.catalog.get(tenant, &name) {
                inner.settled(function).await;
            }
            let keeper = inner.clone();
            let arn = inner.arn(tenant, &name, None);
            let gone = blocking(move || keeper.catalog.delete(tenant, &name)).await?;
            let Some(gone) = gone.map_err(store_error)? else {
                return Err(ApiError::no_function(&arn));
            };
            for state in gone.states() {
                inner.engine.remove(state.clone()).await;
            }
            drop(gone);
            inner.collect().await;
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    fn update_error(&self, tenant: TenantId, error: UpdateError) -> ApiError {
        match error {
            UpdateError::NoFunction { name } => {
                ApiError::no_function(&self.arn(tenant, &name, None))
            }
            UpdateError::Revision { .. } => revision_error(),
            UpdateError::Pending { function, .. } => ApiError::new(
                ErrorKind::ResourceConflict,
                match function.state {
                    State::Pending => "The operation cannot be performed at this time. The \
                                       function is currently in the following state: Pending"
                        .to_owned(),
                    _ => format!(
                        "The operation cannot be performed at this time. An update is in progress \
                         for resource: {}",
                        function.arn()
                    ),
                },
            ),
            UpdateError::Size(error) => layer::size_error(error),
            UpdateError::Store(error) => store_error(error),
        }
    }
}

fn read_update_code(body: &[u8]) -> Result<(UpdateCodeRequest, Vec<u8>), ApiError> {
    let request: UpdateCodeRequest = parse(body)?;
    let code: CodeRequest = parse(body)?;
    settings::refuse_absent(&parse(body)?)?;
    let mut violations = Violations::default();
    let asked = request.architectures.as_deref();
    let fits = settings::check_architectures(asked, architecture(), &mut violations);
    violations.finish()?;
    fits?;
    Ok((request, code::decode(code, "function")?))
}

fn create_error(error: CreateError) -> ApiError {
    match error {
        CreateError::Exists { name } => {
            ApiError::new(ErrorKind::ResourceConflict, format!("Function already exist: {name}"))
        }
        CreateError::Size(error) => layer::size_error(error),
        CreateError::Store(error) => store_error(error),
    }
}

/// This machine's instruction set, in Lambda's word.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
