//! One TLS channel over a non-blocking socket.
