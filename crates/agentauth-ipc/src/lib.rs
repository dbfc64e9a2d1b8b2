//! Bytes and peers: where the socket is, listen, connect, and who is calling, on each system.
