//! Export and import, on embedded logs.
