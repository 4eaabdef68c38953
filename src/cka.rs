//! Linear centred kernel alignment: matrices in, one number out.
