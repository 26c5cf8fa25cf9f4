//! Times and sizes with their units.
