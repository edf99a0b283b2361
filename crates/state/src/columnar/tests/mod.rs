mod corruption;
mod crash;
mod model;
mod store;
