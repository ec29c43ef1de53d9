//! The `Authorization` header (RFC 2617 3.2.2, RFC 7616 3.4).
