mod certificates;
mod chart;
mod cluster;
mod conformance;
mod house;
mod server;
mod support;
