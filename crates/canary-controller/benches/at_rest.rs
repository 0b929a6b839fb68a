//! Measures the cost of many canaries with controllers in one process: without a rollout, in a
//! rollout without calls, and in a rollout with twenty calls a second for each canary.
//!
//! Run it with `cargo bench -p canary-controller --bench at_rest [-- CANARIES SECONDS]`, on Linux. Each
//! case is a process of one thread, with a store in memory. It prints the time on the processor, of a
//! core and for each canary and second, the memory that the canaries have added, the bytes on the heap
//! and the allocations in a second for each canary. The cost of the calls themselves is included.
//!
//! Another process then measures a tick of a rollout with twenty calls a second. The time of tokio stands
//! still except for the ticks, so that their number does not depend on the machine. A tick stores nothing
//! or, every other second, the rollout, the evidence and the counts. The calls are not included. To count
//! the instructions of the drivers under callgrind, run the executable that cargo prints:
//!
//! ```sh
//! valgrind --tool=callgrind --toggle-collect='*driver::run::Driver::run::*closure*' target/.. 10 30 "a tick"
//! ```

use std::{
    convert::Infallible,
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use canary_controller::{Actor, Clock, Controller, Managed, Plan, Timestamp, store::MemoryStore};
use http::{Request, Response};
use tokio::{runtime::Runtime, time::MissedTickBehavior};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_canary::{CanaryLayer, CanaryOptions, Tags};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo also passes its own options.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let number = |index: usize, default: u32| {
        arguments.get(index).and_then(|it| it.parse().ok()).unwrap_or(default)
    };
    let (canaries, seconds) = (number(0, 1000), number(1, 20));
    if let Some(case) = arguments.get(2) {
        if case == TICK {
            return measure_ticks(canaries.min(MAX_CANARIES_OF_TICKS), seconds);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let case = CASES.iter().find(|known| known.name == case).ok_or("unknown case")?;
        return measure(&runtime, case, canaries, Duration::from_secs(seconds.into()));
    }
    println!("{canaries} canaries, {seconds} s");
    for case in CASES.iter().map(|case| case.name).chain([TICK]) {
        let (canaries, seconds) = (canaries.to_string(), seconds.to_string());
        let status =
            Command::new(env::current_exe()?).args([&canaries, &seconds, case]).status()?;
        if !status.success() {
            return Err(format!("{case}: {status}").into());
        }
    }
    Ok(())
}

struct Case {
    name: &'static str,
    starts: bool,
    calls_per_second: u32,
}

const CASES: &[Case] = &[
    Case { name: "no rollout", starts: false, calls_per_second: 0 },
    Case { name: "a rollout without calls", starts: true, calls_per_second: 0 },
    WITH_CALLS,
];

const WITH_CALLS: Case =
    Case { name: "a rollout, 20 calls/s each", starts: true, calls_per_second: 20 };

const TICK: &str = "a tick";

/// More canaries do not fit into the caches of a processor.
const MAX_CANARIES_OF_TICKS: u32 = 100;

fn measure(
    runtime: &Runtime,
    case: &Case,
    canaries: u32,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let before = resident_kib()?;
    let (mut started, mut passed) = (None, None);
    let kept = allocation_counter::measure(|| {
        started = Some(runtime.block_on(async {
            let started = start(case, canaries).await?;
            // The first ticks load the rollouts, and begin their evidence.
            serve(&started.1, case, Duration::from_secs(12)).await?;
            Ok::<_, Box<dyn std::error::Error>>(started)
        }));
    });
    let (_controller, services) = started.ok_or("not started")??;
    let (start, used_before) = (Instant::now(), used()?);
    let made = allocation_counter::measure(|| {
        passed = Some(runtime.block_on(serve(&services, case, time)));
    });
    passed.ok_or("not measured")??;
    let (elapsed, used) = (start.elapsed().as_secs_f64(), used()? - used_before);
    let memory = resident_kib()?.saturating_sub(before) / 1024;
    let of_core = 100.0 * used.as_secs_f64() / elapsed;
    let each_second = 1e6 * of_core / 100.0 / f64::from(canaries);
    let bytes = (kept.bytes_current + made.bytes_current) / i64::from(canaries);
    let allocations = f64::from(u32::try_from(made.count_total)?) / elapsed / f64::from(canaries);
    println!(
        "{:30} {of_core:5.2} % of a core, {memory:4} MiB; for each canary {each_second:6.1} us and \
         {allocations:4.0} allocations a second, {bytes} bytes",
        case.name,
    );
    Ok(())
}

fn measure_ticks(canaries: u32, seconds: u32) -> Result<(), Box<dyn std::error::Error>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let mut times: [Vec<Duration>; 2] = Default::default();
    runtime.block_on(async {
        let (_controller, services) = start(&WITH_CALLS, canaries).await?;
        for second in 0..12 + seconds {
            for _ in 0..WITH_CALLS.calls_per_second {
                for service in &services {
                    service.clone().oneshot(Request::new(())).await?;
                }
            }
            let start = Instant::now();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if second >= 12 {
                times[usize::from(second % 2 == 0)].push(start.elapsed());
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let mut medians = times.map(|mut times| {
        times.sort();
        1e6 * times[times.len() / 2].as_secs_f64() / f64::from(canaries)
    });
    medians.sort_by(f64::total_cmp);
    let [plain, storing] = medians;
    println!("{TICK:30} {plain:5.1} us, and {storing:5.1} us if it stores; medians");
    Ok(())
}

async fn start(
    case: &Case,
    canaries: u32,
) -> Result<(Controller, Vec<Service>), Box<dyn std::error::Error>> {
    let plan = Plan::from_toml(r#"steps = [{ weight = "10%", min_duration = "1h" }]"#)?;
    let (began, at) = (tokio::time::Instant::now(), Timestamp::from_millis(1_795_000_000_000));
    let clock = Clock::from_fn(move || at + began.elapsed());
    let controller = Controller::new(MemoryStore::new()).clock(clock);
    let mut services = Vec::new();
    for number in 0..canaries {
        let options = CanaryOptions::new()
            .stable_release("v1")
            .canary_release("v2")
            .tags(Tags::header_only());
        let layer = CanaryLayer::with_options(format!("canary-{number}"), respond(), options);
        let rollout = controller.add(Managed::new(layer.handle(), plan.clone()))?;
        if case.starts {
            rollout.start(Actor::person("bench"), "measured").await?;
        }
        services.push(BoxCloneSyncService::new(layer.layer(respond()).map_response(drop)));
    }
    Ok((controller, services))
}

type Service = BoxCloneSyncService<Request<()>, (), Infallible>;

/// Makes the calls of the case for some time.
async fn serve(
    services: &[Service],
    case: &Case,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let end = tokio::time::Instant::now() + time;
    if case.calls_per_second == 0 {
        tokio::time::sleep_until(end).await;
        return Ok(());
    }
    let mut rounds = tokio::time::interval(Duration::from_secs(1) / case.calls_per_second);
    // On a busy machine, there are fewer rounds, instead of a growing backlog.
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while tokio::time::Instant::now() < end {
        rounds.tick().await;
        for service in services {
            service.clone().oneshot(Request::new(())).await?;
            tokio::task::consume_budget().await;
        }
    }
    Ok(())
}

fn respond()
-> impl tower::Service<Request<()>, Response = Response<String>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(|_: Request<()>| async { Ok(Response::new(String::new())) })
}

/// Returns the time that this thread has used.
fn used() -> Result<Duration, Box<dyn std::error::Error>> {
    let times = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = times.split(' ').next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn resident_kib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
