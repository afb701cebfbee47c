//! One request as handlers see it.

use crate::params::Params;
use crate::tenancy::Tenant;

/// One request with its parsed parameters.
pub(crate) struct Call {
    pub(crate) params: Params,
    /// The label name in the path of `/api/v1/label/<name>/values`; empty for other paths.
    pub(crate) name: String,
    /// The tenant that the request is for.
    pub(crate) tenant: Tenant,
}
