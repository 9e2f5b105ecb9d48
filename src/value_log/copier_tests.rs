//! Copies verify, stand apart, and what cannot be copied is told.

use super::tests::{log_in, options};
use super::*;
use crate::base::checksum::crc32;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
