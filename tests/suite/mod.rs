mod canary;
mod explain;
mod guides;
mod properties;
mod serve;
mod support;
