//! What scopes cover, told by their texts.

/// Where a scope holds.
enum Context<'a> {
    Anywhere,
    /// The segments of a path; none for the root.
    Below(Vec<&'a str>),
    /// Parameters.
    Where(Vec<(&'a str, &'a str)>),
}

/// `files.read` of `files.read:/projects`, and what stands behind the colon.
fn parts(scope: &str) -> (&str, Context<'_>) {
    match scope.split_once(':') {
        None => (scope, Context::Anywhere),
        Some((name, context)) => (name, context_of(context)),
    }
}

fn context_of(text: &str) -> Context<'_> {
    match text.strip_prefix('/') {
        Some("") => Context::Below(Vec::new()),
        Some(path) => Context::Below(path.split('/').collect()),
        None => Context::Where(text.split(',').map(|pair| pair.split_once('=').unwrap()).collect()),
    }
}

/// Whether everything that `narrow` names is named by `wide`.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    let ((wide_name, wide), (narrow_name, narrow)) = (parts(wide), parts(narrow));
    wide_name == narrow_name && context_covers(&wide, &narrow)
}

fn context_covers(wide: &Context<'_>, narrow: &Context<'_>) -> bool {
    match (wide, narrow) {
        (Context::Anywhere, _) => true,
        (Context::Below(above), Context::Below(below)) => below.starts_with(above),
        (Context::Where(few), Context::Where(many)) => few.iter().all(|(key, value)| {
            many.iter().any(|(other_key, other)| key == other_key && value_covers(value, other))
        }),
        _ => false,
    }
}

/// Whether something is named by both.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let ((one_name, one), (other_name, other)) = (parts(one), parts(other));
    one_name == other_name && contexts_overlap(&one, &other)
}

/// Whether `labelled` (`files:/srv/hr`, `crm`) has something in common with what `scope` names, whatever the action.
pub(crate) fn reaches_into(scope: &str, labelled: &str) -> bool {
    let ((resource, context), (labelled, there)) = (resource_of(scope), parts(labelled));
    resource == labelled && contexts_overlap(&context, &there)
}

/// Whether everything that `scope` names lies in `labelled`, whatever the action.
pub(crate) fn lies_within(scope: &str, labelled: &str) -> bool {
    let ((resource, context), (labelled, there)) = (resource_of(scope), parts(labelled));
    resource == labelled && context_covers(&there, &context)
}

/// `files` of `files.read:/projects`, and what stands behind the colon.
fn resource_of(scope: &str) -> (&str, Context<'_>) {
    let (name, context) = parts(scope);
    (name.split_once('.').unwrap().0, context)
}

fn contexts_overlap(one: &Context<'_>, other: &Context<'_>) -> bool {
    match (one, other) {
        (Context::Anywhere, _) | (_, Context::Anywhere) => true,
        (Context::Below(one), Context::Below(other)) => one.starts_with(other) || other.starts_with(one),
        (Context::Where(one), Context::Where(other)) => one.iter().all(|(key, value)| {
            other
                .iter()
                .filter(|(other_key, _)| key == other_key)
                .all(|(_, other)| value_covers(value, other) || value_covers(other, value))
        }),
        _ => false,
    }
}

fn value_covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_suffix('*') {
        Some(beginning) => narrow.trim_end_matches('*').starts_with(beginning),
        None => wide == narrow,
    }
}
