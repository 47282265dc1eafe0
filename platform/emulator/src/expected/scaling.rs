//! How concurrent requests come together on instances.

use super::Expected;

impl Expected<'_> {
    /// The most requests that one instance is seen with at one instant, where the largest burst to a fresh function has so
    /// many: the first instance takes what it may before another one is needed.
    pub fn requests_per_instance(&self, largest: u32) -> u32 {
        self.platform.scheduler.scaling.requests_per_instance.min(largest)
    }

    /// Instances of a fresh function that run at one instant, where a burst of so many requests is held until all run that
    /// ever will.
    pub fn instances(&self, burst: u32) -> u32 {
        let scaling = &self.platform.scheduler.scaling;
        burst.div_ceil(scaling.requests_per_instance).min(scaling.limit(burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::built_in;

    // Bursts fill instances one after another, up to the limit of instances; small ones fill none.
    #[test]
    fn bursts_fill_instances() {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.scheduler.scaling.requests_per_instance = 4;
        platform.scheduler.scaling.max_instances = Some(3);
        let expected = Expected::of(&platform);
        assert_eq!([1, 4, 5, 12, 40].map(|burst| expected.instances(burst)), [1, 1, 2, 3, 3]);
        assert_eq!([3, 40].map(|burst| expected.requests_per_instance(burst)), [3, 4]);
    }
}
