mod canary;
mod docs;
mod explain;
mod guides;
mod properties;
mod serve;
mod support;
