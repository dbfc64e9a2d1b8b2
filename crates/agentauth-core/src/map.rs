//! The maps of a snapshot.

/// A persistent map, so that a change copies almost nothing. Every decision looks into several. Its hash is seeded for each
/// map, and quick rather than strong: who may add keys is limited, and a flood of equal hashes would cost time, not rights.
pub(crate) type Map<K, V> =
    imbl::GenericHashMap<K, V, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>;
