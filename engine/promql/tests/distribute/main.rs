//! Distribution over queriers: where expressions are cut, which querier evaluates which steps, and that the answer is that of
//! an evaluation of the whole here.

mod cuts;
mod equal;
mod layout;
mod times;
