//! Distribution over queriers: where expressions are cut, which querier evaluates which steps, and that the answer is that of
//! an evaluation of the whole here. `parts` is about stores, `cuts`, `equal` and `times` are about queriers.

mod cuts;
mod equal;
mod layout;
mod parts;
mod times;
