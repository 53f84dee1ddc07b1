//! Windows: local endpoints are named pipes.
