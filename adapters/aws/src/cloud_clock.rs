//! AWS's clock, as the SDK's answers tell it, and our own as the SDK wants it.

use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::{DateTime, Format};
use jitney_core::cloud_clock::CloudClock;
use jitney_core::time::{Clock, Timestamp};
use tokio::time::Instant;

/// A clock at which nobody has looked yet.
pub(crate) fn cloud_clock(ours: Arc<dyn Clock>) -> Arc<CloudClock> {
    let began = Instant::now();
    Arc::new(CloudClock::new(ours, move || began.elapsed()))
}

/// Looks at the clock in every answer of a client.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) Arc<CloudClock>);

#[derive(Debug)]
struct SentAt(Timestamp);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(self.0.now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        if let (Some(date), Some(SentAt(sent))) = (date, bag.load::<SentAt>()) {
            self.0.looked(*sent, Timestamp::from_seconds(date.secs()));
        }
        Ok(())
    }
}

/// Our clock as the SDK wants it: what is signed is stamped with the time the intent was.
#[derive(Debug)]
pub(crate) struct SdkTime(pub(crate) Arc<CloudClock>);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        let micros = u64::try_from(self.0.now().as_micros()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_micros(micros)
    }
}
