'use strict';
// The probe in JavaScript for Node.js: one request and one response format with the probes in other languages.
//
// Node's own modules only, loaded where they are needed, so that a cold start is the platform's and the interpreter's.
// Deliberately knows nothing of who asks or why.

const INIT_UNIX_NS = unixNs();

const fs = require('fs');

const DIRECTORY = process.env.TMPDIR || '/tmp';
const INSTANCE_FILE = `${DIRECTORY}/peek-instance`;
const DISK_FILE = `${DIRECTORY}/peek-disk`;
const FILL_FILE = `${DIRECTORY}/peek-fill`;
// Gaps at least this long count as time without a CPU, nanoseconds. Each clock reading is an object, and collecting
// them takes some 100 us at a time, in which the thread does run.
const GAP_NS = 400_000;
// A gap from which a thread comes back as a quota's period begins is at least this long.
const THROTTLED_NS = 1_000_000;
// The period of a quota: who has burnt for that long has spent what it saved up while it was idle.
const PERIOD_NS = 100_000_000;
// How long the beginning of a quota's period is waited for: two periods and some.
const SEARCH_NS = 250_000_000;
// A pause this long ends background work: the instance was put to rest meanwhile.
const PAUSE_NS = 500_000_000;
// Limits of what may be asked.
const WINDOW_LIMIT_MS = 900_000;
const THREAD_LIMIT = 256;
const PAIRS = 4096;
const BLOCK_LIMIT = 64 * 2 ** 20;
const ROUND_LIMIT = 10 * 2 ** 30;
// The first piece of room that is asked for, and the smallest: a block of the usual file systems.
const PIECE_MOST = 2 ** 20;
const PIECE_LEAST = 4096;
// How long a connection, a write that is stuck, or the sink's close may take.
const PATIENCE_MS = 5000;
const READ_BYTES = 64 << 10;

const FIELDS = {
  barrier_unix_ns: null, identity: null, exposure: null, disk_counters: null,
  cpu: ['window_ms', 'threads'], disk: ['block_bytes', 'blocks', 'rounds'],
  fill: ['most_bytes'], network: ['sink', 'window_ms'], hold_until_unix_ns: null, hold_ms: null,
  background: ['for_ms'], fail: null, padding: null,
};

// What of the host may be readable. The same items, in the same order, in every language of the probe.
const ITEMS = `
/proc/cpuinfo
/proc/meminfo
/proc/stat
/proc/uptime
/proc/loadavg
/proc/version
/proc/cmdline
/proc/diskstats
/proc/partitions
/proc/interrupts
/proc/modules
/proc/kallsyms
/proc/vmstat
/proc/self/cgroup
/proc/self/mountinfo
/proc/net/arp
/proc/net/route
/proc/sys/kernel/random/boot_id
/proc/sys/kernel/hostname
/sys/class/dmi/id/sys_vendor
/sys/class/dmi/id/product_uuid
/sys/hypervisor/uuid
/sys/class/net
/sys/fs/cgroup
/sys/devices/system/cpu/online
/etc/machine-id
/etc/hostname
/etc/resolv.conf
/dev/kmsg
/dev/kvm
/dev/vda
env:AWS_REGION
env:AWS_ACCESS_KEY_ID
env:AWS_EXECUTION_ENV
env:WEBSITE_INSTANCE_ID
env:HOSTNAME
`.trim().split('\n');

const HOST_VARIABLES = ['WEBSITE_INSTANCE_ID', 'HOST_ID', 'INSTANCE_ID', 'NODE_NAME'];

const INSTANCE = require('crypto').randomBytes(16).toString('hex');
const MARK = `${process.env.PEEK_MARK || ''}.${text(`${process.env.LAMBDA_TASK_ROOT || ''}/peek-mark`).trim()}`;
let invocations = 0;
let work = null;

// Does what is asked, in the order of the request's schema.
exports.handler = async (event) => {
  const startedUnixNs = unixNs();
  const startedNs = monotonicNs();
  invocations += 1;
  check(event);
  const problems = {};
  const response = {
    started_unix_ns: startedUnixNs,
    instance: INSTANCE,
    instance_tmp: await note(problems, 'instance_tmp', instanceTmp) || '',
    invocations,
    init_unix_ns: INIT_UNIX_NS,
    runtime: `nodejs${process.versions.node.split('.')[0]}.x`,
    version: process.env.AWS_LAMBDA_FUNCTION_VERSION || '',
    mark: MARK,
    memory_mib: Number(process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE) || 0,
    initialization: process.env.AWS_LAMBDA_INITIALIZATION_TYPE || '',
  };
  if (work !== null) {
    response.background = work.stop();
    work = null;
  }
  await measure(event, response, problems);
  if (given(event.hold_until_unix_ns)) await sleepUntil(event.hold_until_unix_ns);
  if (given(event.hold_ms)) await sleepUntil(unixNs() + event.hold_ms * 1e6);
  if (given(event.fail)) {
    const failed = new Error(event.fail);
    failed.name = 'Failed';
    throw failed;
  }
  if (given(event.background)) {
    work = await note(problems, 'background', () => startWork(problems, event.background.for_ms * 1e6));
  }
  response.problems = problems;
  response.duration_ns = monotonicNs() - startedNs;
  response.finished_unix_ns = unixNs();
  return response;
};

function given(value) {
  return value !== undefined && value !== null;
}

function check(event) {
  const refuse = (why) => {
    throw new TypeError(`event is not a request of the probe: ${why}`);
  };
  if (typeof event !== 'object' || event === null || Array.isArray(event)) refuse('no object');
  for (const [name, value] of Object.entries(event)) {
    if (!Object.hasOwn(FIELDS, name)) refuse(`unknown field \`${name}\``);
    for (const inner of FIELDS[name] && given(value) ? Object.keys(value) : []) {
      if (!FIELDS[name].includes(inner)) refuse(`unknown field \`${inner}\` in ${name}`);
    }
  }
}

async function measure(event, response, problems) {
  if (given(event.barrier_unix_ns)) await sleepUntil(event.barrier_unix_ns);
  if (event.identity) response.identity = identity();
  if (event.exposure) response.exposure = ITEMS.map(expose);
  if (event.disk_counters) response.disk_before = await note(problems, 'disk_counters', diskCounters);
  for (const [part, run] of [['cpu', cpu], ['disk', disk], ['fill', fill], ['network', network]]) {
    if (given(event[part])) response[part] = await note(problems, part, () => run(event[part], problems));
  }
  if (event.disk_counters) response.disk_after = await note(problems, 'disk_counters', diskCounters);
}

async function note(problems, part, run) {
  try {
    return await run();
  } catch (error) {
    problems[part] = `${error.name}: ${error.message}`;
    return null;
  }
}

// Clocks. Numbers of this size are exact to 256 ns.

function unixNs() {
  const now = performance.timeOrigin + performance.now();
  const wall = Date.now();
  // Where the wall clock was set since the process began, only its milliseconds are known.
  return Math.round((Math.abs(now - wall) > 5 ? wall : now) * 1e6);
}

function monotonicNs() {
  return Math.round(performance.now() * 1e6);
}

async function sleepUntil(at) {
  for (;;) {
    const left = at - unixNs();
    if (left <= 0) return;
    // Timers have a grain of one millisecond; the rest is waited for without giving the thread away.
    if (left > 2e6) await new Promise((resolve) => setTimeout(resolve, Math.min(left / 1e6 - 1.5, 1000)));
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, left / 1e6);
  }
}

function instanceTmp() {
  const found = text(INSTANCE_FILE);
  if (found) return found;
  fs.writeFileSync(INSTANCE_FILE, INSTANCE);
  return INSTANCE;
}

// Identity

function text(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function field(whole, name) {
  for (const line of whole.split('\n')) {
    const colon = line.indexOf(':');
    if (colon >= 0 && line.slice(0, colon).trim() === name) return line.slice(colon + 1).trim();
  }
  return '';
}

function identity() {
  const os = require('os');
  const own = addresses(os);
  const cpuinfo = text('/proc/cpuinfo');
  return {
    host_ids: hostIds(own),
    hostname: os.hostname(),
    uptime_s: Number(text('/proc/uptime').split(' ')[0]) || 0,
    cpu_model: field(cpuinfo, 'model name'),
    cpu_count: cpuCount(os),
    host_memory_mib: Math.floor((parseInt(field(text('/proc/meminfo'), 'MemTotal'), 10) || 0) / 1024),
    kernel: os.release(),
    addresses: own,
  };
}

// Online CPUs as the kernel lists them, `0-3,8`; what Node itself counts where that is hidden.
function cpuCount(os) {
  return count(text('/sys/devices/system/cpu/online')) || os.cpus().length;
}

function count(list) {
  let sum = 0;
  for (const range of list.trim().split(',').filter(Boolean)) {
    const [from, to] = range.split('-').map(Number);
    sum += (to === undefined ? from : to) - from + 1;
  }
  return sum;
}

function hostIds(own) {
  const cgroup = text('/proc/self/cgroup');
  const lines = cgroup.split('\n').filter(Boolean);
  // The part before the last component of the path on the longest line (Wang et al., 4.1).
  const longest = lines.reduce((best, line) => (line.length > best.length ? line : best), '');
  const path = longest.split(':').slice(2).join(':');
  const ids = {
    instance_root_id: path.slice(0, Math.max(path.lastIndexOf('/'), 0)).replace(/^\/+/, ''),
    cgroup: lines.some((line) => !line.endsWith(':/')) ? digest(cgroup) : '',
    env: HOST_VARIABLES.map((name) => process.env[name]).find((value) => value !== undefined) || '',
    boot_id: text('/proc/sys/kernel/random/boot_id').trim(),
    machine_id: text('/etc/machine-id').trim(),
    ip: own.find((address) => !address.includes(':')) || '',
  };
  return Object.fromEntries(Object.entries(ids).filter(([, id]) => id));
}

// Own addresses in order, without loopback and link-local ones.
function addresses(os) {
  const all = Object.values(os.networkInterfaces()).flat().filter((one) => !one.internal);
  const local = /^(127\.|169\.254\.|fe[89ab])/i;
  return [...new Set(all.map((one) => one.address))].filter((one) => !local.test(one)).sort();
}

// Exposure

function digest(content) {
  return require('crypto').createHash('sha256').update(content).digest('hex').slice(0, 16);
}

function expose(item) {
  let content = '';
  try {
    content = read(item);
  } catch {
    // Not readable is an answer.
  }
  const readable = content.length > 0;
  return { item, readable, digest: readable ? digest(content) : '' };
}

// A file's beginning, a directory's sorted names in lines, or a device's number where it can be opened.
function read(item) {
  if (item.startsWith('env:')) return process.env[item.slice(4)] || '';
  const status = fs.statSync(item);
  if (status.isDirectory()) return fs.readdirSync(item).sort().join('\n');
  const file = fs.openSync(item, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    if (status.isCharacterDevice() || status.isBlockDevice()) return String(status.rdev);
    const content = Buffer.alloc(READ_BYTES);
    let length = 0;
    for (;;) {
      const more = fs.readSync(file, content, length, READ_BYTES - length, null);
      length += more;
      if (more === 0 || length === READ_BYTES) return content.subarray(0, length);
    }
  } finally {
    fs.closeSync(file);
  }
}

// CPU

function windowNs(windowMs) {
  if (!(windowMs > 0 && windowMs <= WINDOW_LIMIT_MS)) {
    throw new RangeError(`window of ${windowMs} ms, limit is ${WINDOW_LIMIT_MS} ms`);
  }
  return Math.floor(windowMs * 1e6);
}

async function cpu(asked, problems) {
  const limits = { GAP_NS, THROTTLED_NS, PERIOD_NS, SEARCH_NS, PAIRS };
  const window = windowNs(asked.window_ms);
  const threads = asked.threads || allowedCpus();
  if (threads > THREAD_LIMIT) throw new RangeError(`${threads} threads, limit is ${THREAD_LIMIT}`);
  // The beginning of the window, in nanoseconds since 1970 by the workers' common clock, once the first has found it.
  const begin = new Float64Array(new SharedArrayBuffer(8));
  const others = [];
  try {
    for (let number = 1; number < threads; number += 1) others.push(busyWorker({ begin, limits, window }));
    await Promise.all(others.map((other) => other.ready));
  } catch (error) {
    for (const other of others) other.worker.terminate();
    throw error;
  }
  const result = burn({ begin, limits, window, lead: true });
  for (const other of others) {
    const share = await other.share;
    result.cpu_ns += share.cpu_ns;
    result.running_ns += share.running_ns;
  }
  if (!process.threadCpuUsage) {
    problems.cpu = `no thread CPU clock in Node.js ${process.versions.node}: cpu_ns is not measured`;
  }
  return { ...result, window_ns: window, started_unix_ns: Math.round(begin[0]), threads, gap_ns: GAP_NS };
}

function allowedCpus() {
  return count(field(text('/proc/self/status'), 'Cpus_allowed_list')) || 1;
}

function busyWorker(data) {
  const { Worker } = require('worker_threads');
  const source = `
    const { parentPort, workerData } = require('worker_threads');
    ${threadCpuNs}
    ${commonNs}
    ${awaitBegin}
    ${burn}
    parentPort.postMessage('ready');
    parentPort.postMessage(burn({ ...workerData, lead: false }));`;
  const worker = new Worker(source, { eval: true, workerData: data });
  let settle;
  const share = new Promise((resolve, reject) => { settle = { resolve, reject }; });
  share.catch(() => {});
  const ready = new Promise((resolve, reject) => {
    worker.on('message', (message) => (message === 'ready' ? resolve() : settle.resolve(message)));
    for (const end of ['error', 'exit']) {
      worker.on(end, (reason) => {
        const error = new Error(`a busy thread ended early: ${reason}`);
        reject(error);
        settle.reject(error);
      });
    }
  });
  return { worker, ready, share };
}

// CPU time of this thread; 0 where there is no such clock.
function threadCpuNs() {
  if (!process.threadCpuUsage) return 0;
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}

// Each thread counts from its own beginning; this is one count for all.
function commonNs() {
  return (performance.timeOrigin + performance.now()) * 1e6;
}

function burn({ begin, limits, window, lead }) {
  const origin = performance.timeOrigin;
  // All times from here on are in milliseconds since the window began: small numbers are exact to a nanosecond.
  const zero = awaitBegin(begin, limits, lead) / 1e6 - origin;
  const gap = limits.GAP_NS / 1e6;
  const end = window / 1e6;
  const ran = [];
  const cpuBegin = threadCpuNs();
  let [running, ticks, last, since, nextTick] = [0, 0, 0, 0, 0];
  for (;;) {
    const now = performance.now() - zero;
    const off = now - last >= gap;
    const inside = now < end ? now : end;
    if (!off && inside > last) running += inside - last;
    if (off || now >= end) {
      const to = off ? last : inside;
      if (to > since && ran.length < limits.PAIRS) ran.push([Math.round(since * 1e6), Math.round(to * 1e6)]);
      since = inside;
    }
    if (now >= end) {
      return { cpu_ns: threadCpuNs() - cpuBegin, running_ns: Math.round(running * 1e6), ticks, ran };
    }
    if (now >= nextTick) {
      ticks += 1;
      nextTick = Math.floor(now) + 1;
    }
    last = now;
  }
}

// Burns until the window begins; returns that moment, which may have passed for those that follow.
function awaitBegin(begin, limits, lead) {
  const searchedFrom = commonNs();
  let last = searchedFrom;
  for (;;) {
    const now = commonNs();
    const burnt = now - searchedFrom;
    if (!lead) {
      if (begin[0]) return begin[0];
    } else if ((burnt >= limits.PERIOD_NS && now - last >= limits.THROTTLED_NS) || burnt >= limits.SEARCH_NS) {
      begin[0] = now;
      return now;
    }
    last = now;
  }
}

// Disk

function disk(asked, problems) {
  const { blocks, block_bytes: blockBytes, rounds } = asked;
  const fits = blockBytes > 0 && blockBytes <= BLOCK_LIMIT && blocks > 0 && blocks * blockBytes <= ROUND_LIMIT;
  if (!fits) {
    throw new RangeError(`${blocks} blocks of ${blockBytes} bytes, limits are ${BLOCK_LIMIT} bytes in a block `
      + `and ${ROUND_LIMIT} in a round`);
  }
  const file = fs.openSync(DISK_FILE, 'w+', 0o600);
  try {
    // Buffers of Node.js have no address that O_DIRECT would take.
    problems.disk = 'Node.js cannot bypass the page cache: reads may be the memory\'s speed';
    return diskRounds(file, blocks, blockBytes, rounds);
  } finally {
    fs.closeSync(file);
    // Also where it failed half-way: the next measurement wants the space.
    fs.rmSync(DISK_FILE, { force: true });
  }
}

function diskRounds(file, blocks, blockBytes, rounds) {
  const block = noise(blockBytes);
  const mib = (blocks * blockBytes) / 2 ** 20;
  const result = { write_mib_s: [], read_mib_s: [], direct: false, started_unix_ns: unixNs() };
  const startedNs = monotonicNs();
  const rate = (since) => (mib * 1e9) / Math.max(monotonicNs() - since, 1);
  for (let round = 0; round < rounds; round += 1) {
    let since = monotonicNs();
    for (let number = 0; number < blocks; number += 1) {
      // No two blocks are the same, lest something below stores one of them.
      if (blockBytes >= 8) block.writeDoubleLE(since + number, 0);
      whole(fs.writeSync, file, block, number * blockBytes);
    }
    fs.fsyncSync(file);
    result.write_mib_s.push(rate(since));
    since = monotonicNs();
    for (let number = 0; number < blocks; number += 1) whole(fs.readSync, file, block, number * blockBytes);
    result.read_mib_s.push(rate(since));
  }
  result.duration_ns = monotonicNs() - startedNs;
  return result;
}

function whole(move, file, block, offset) {
  let done = 0;
  while (done < block.length) {
    const moved = move(file, block, done, block.length - done, offset + done);
    if (moved === 0) throw new Error('the file ended early');
    done += moved;
  }
}

// Node.js cannot take room without writing it: pieces of zeros, smaller ones as room gets scarce.
function fill(asked) {
  const most = asked.most_bytes;
  const zeros = Buffer.alloc(PIECE_MOST);
  let [taken, piece] = [0, PIECE_MOST];
  const file = fs.openSync(FILL_FILE, 'w', 0o600);
  try {
    while (piece >= PIECE_LEAST && taken < most) {
      try {
        taken += fs.writeSync(file, zeros, 0, Math.min(piece, most - taken));
      } catch (error) {
        if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code)) throw error;
        piece /= 2;
      }
    }
  } finally {
    fs.closeSync(file);
    fs.unlinkSync(FILL_FILE);
  }
  return { bytes: taken, full: taken < most };
}

// Noise from a generator, not from the kernel: what is measured is the disk.
function noise(bytes) {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index += 1) {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer, 0, bytes);
}

function diskCounters() {
  const counters = [];
  for (const line of fs.readFileSync('/proc/diskstats', 'utf8').split('\n').filter(Boolean)) {
    const fields = line.trim().split(/\s+/);
    const [read, written] = [Number(fields[5]), Number(fields[9])];
    if (read + written > 0) counters.push({ device: fields[2], sectors_read: read, sectors_written: written });
  }
  return counters;
}

// Network

function network(asked) {
  const window = windowNs(asked.window_ms);
  const colon = asked.sink.lastIndexOf(':');
  const host = asked.sink.slice(0, colon).replace(/^\[|\]$/g, '');
  const block = Buffer.alloc(128 << 10, 'Z');
  return new Promise((resolve, reject) => {
    const stream = require('net').connect({ host, port: Number(asked.sink.slice(colon + 1)) });
    let [startedUnixNs, startedNs] = [0, 0];
    const send = () => {
      while (monotonicNs() - startedNs < window) if (!stream.write(block)) return;
      stream.removeListener('drain', send);
      stream.end();
    };
    stream.setTimeout(PATIENCE_MS, () => stream.destroy(new Error(`sink ${asked.sink} is stuck`)));
    stream.on('connect', () => {
      [startedUnixNs, startedNs] = [unixNs(), monotonicNs()];
      send();
    });
    stream.on('drain', send);
    stream.on('error', reject);
    // The sink closes when it has read to the end: what waits in buffers is not counted before it is there.
    stream.on('end', () => resolve({
      sent_bytes: stream.bytesWritten, duration_ns: monotonicNs() - startedNs, started_unix_ns: startedUnixNs,
    }));
    stream.resume();
  });
}

// Background work: a busy thread that says how far it has come, in nanoseconds.

const [LAST, GAP, CPU, FINISHED, STOP] = [0, 1, 2, 3, 4];

function startWork(problems, forNs) {
  const { Worker } = require('worker_threads');
  const signs = new Float64Array(new SharedArrayBuffer(5 * 8));
  const startedUnixNs = unixNs();
  signs[LAST] = startedUnixNs;
  const source = `
    const { workerData: { signs, forNs, PAUSE_NS } } = require('worker_threads');
    const [LAST, GAP, CPU, FINISHED, STOP] = [0, 1, 2, 3, 4];
    ${threadCpuNs}
    ${commonNs}
    const end = commonNs() + forNs;
    let last = commonNs();
    while (!signs[STOP]) {
      const now = commonNs();
      signs[GAP] = Math.max(signs[GAP], now - last);
      if (now - last >= PAUSE_NS) break;
      signs[LAST] = now;
      signs[CPU] = threadCpuNs();
      if (now >= end) {
        signs[FINISHED] = 1;
        break;
      }
      last = now;
    }`;
  const worker = new Worker(source, { eval: true, workerData: { signs, forNs, PAUSE_NS } });
  worker.on('error', () => {});
  worker.unref();
  if (!process.threadCpuUsage) {
    problems.background = `no thread CPU clock in Node.js ${process.versions.node}: cpu_ns is not measured`;
  }
  return {
    // What it managed; ends it where it has not ended.
    stop() {
      signs[STOP] = 1;
      return {
        started_unix_ns: startedUnixNs,
        last_unix_ns: Math.round(signs[LAST]),
        longest_gap_ns: Math.round(signs[GAP]),
        cpu_ns: Math.round(signs[CPU]),
        finished: signs[FINISHED] === 1,
      };
    },
  };
}
