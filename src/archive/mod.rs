//! TorchScript archives: verified bytes in, a small inert model of them out.
