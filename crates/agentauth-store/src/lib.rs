//! What must survive: secret stores behind one port, and the state database.
