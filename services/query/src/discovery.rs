//! Service discovery of endpoints: flags, configuration files, file patterns and DNS.

mod config;
mod members;

use tithon_runtime::{Discovery, SdFiles};
pub use tithon_runtime::{DiscoveryError, DnsName, EndpointAddress};

pub use self::config::{EndpointConfigError, parse_endpoints};
pub use self::members::{Member, MemberSources, Members, MembersError};
