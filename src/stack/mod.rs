//! The lift: carries a frame up and down through floors 2 to 4.
