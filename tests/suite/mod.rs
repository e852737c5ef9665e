mod certificates;
mod chart;
mod cluster;
mod conformance;
mod house;
mod plans;
mod server;
mod support;
