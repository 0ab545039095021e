//! What is counted elsewhere and only asked for when somebody wants to know: by the kernel, and by the store.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::Resource;

/// What the kernel says of this process, under the names that every client library of Prometheus uses.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Where there is no such file system, there are no such numbers.
        let Some(usage) = Usage::now() else { return Ok(()) };
        let cpu =
            encoder.encode_descriptor("process_cpu_seconds", "Processor time", None, MetricType::Counter)?;
        ConstCounter::new(usage.cpu).encode(cpu)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that is resident", usage.resident),
            ("process_virtual_memory_bytes", "Memory that is mapped", usage.mapped),
            ("process_start_time_seconds", "When the process began, since 1970", usage.began),
            ("process_threads", "Threads", usage.threads),
            ("process_open_fds", "Open files", usage.files),
            ("process_max_fds", "The most files that may be open", usage.most_files),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

struct Usage {
    cpu: f64,
    resident: f64,
    mapped: f64,
    began: f64,
    threads: f64,
    files: f64,
    most_files: f64,
}

impl Usage {
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name before it may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let booted = std::fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let most = rustix::process::getrlimit(Resource::Nofile).current;
        Some(Self {
            cpu: (field(11)? + field(12)?) / ticks,
            threads: field(17)?,
            began: booted + field(19)? / ticks,
            mapped: field(20)?,
            resident: field(21)? * rustix::param::page_size() as f64,
            // One of them is the folder that is being read.
            files: std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64,
            most_files: most.map_or(f64::INFINITY, |most| most as f64),
        })
    }
}

/// What the store counts by itself.
#[derive(Debug)]
pub(super) struct Failed;

impl Collector for Failed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Statements that the store could not run";
        let mut errors = encoder.encode_descriptor("store_errors", help, None, MetricType::Counter)?;
        for (kind, count) in crate::store::failures() {
            ConstCounter::new(count).encode(errors.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let usage = Usage::now().unwrap();
        assert!(usage.resident > 1e6 && usage.mapped >= usage.resident);
        assert!(usage.threads >= 1.0 && usage.files >= 3.0 && usage.most_files >= usage.files);
        assert!(usage.began > 1.6e9 && usage.cpu >= 0.0);
    }
}
