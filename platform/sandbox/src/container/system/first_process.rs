//! What the first process of a sandbox is for the rest of its life: a page of code and a page of stack.
//!
//! A process that was forked keeps the page tables and changed pages of what it was forked from, which for an idle instance
//! is more than all that the kernel keeps of its namespaces. So what remains is written to need none of it. Deliberately
//! knows nothing of sandboxes.

use std::os::fd::RawFd;

/// How many kinds of signal there are that are waited for.
const SIGNALS: usize = 2;

/// See the module.
#[derive(Debug)]
pub(in super::super) struct FirstProcess<'a> {
    /// The child whose end is the end of all.
    pub(in super::super) runtime: i32,
    /// Where that end is told.
    pub(in super::super) channel: RawFd,
    /// Blocked signals: that of children, which are reaped, and those that are handed on to the runtime.
    pub(in super::super) signals: &'a [i32; SIGNALS],
    /// What is told before the wait status.
    pub(in super::super) exited: [u8; 4],
}

impl FirstProcess<'_> {
    /// Lets go of the process's memory, and waits for the end.
    pub(in super::super) fn remain(self) -> ! {
        #[cfg(target_arch = "x86_64")]
        self.remain_small();
        #[cfg(not(target_arch = "x86_64"))]
        self.remain_large();
    }

    /// Without code for this machine: the same, and most of the memory stays.
    #[cfg(not(target_arch = "x86_64"))]
    fn remain_large(self) -> ! {
        loop {
            while let Some((pid, status)) = super::reap() {
                if pid == self.runtime {
                    let mut told = [0; 8];
                    told[..4].copy_from_slice(&self.exited);
                    told[4..].copy_from_slice(&status.to_le_bytes());
                    let pointer = told.as_ptr().cast();
                    // SAFETY: the buffer is a local. A starter that is gone needs no report.
                    unsafe { libc::send(self.channel, pointer, told.len(), libc::MSG_NOSIGNAL) };
                    super::exit(0);
                }
            }
            match super::wait_signal(self.signals) {
                libc::SIGCHLD => {}
                signal => super::signal_process(self.runtime, signal),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn remain_small(self) -> ! {
        leave_rseq();
        let signals = self.signals.iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
        // SAFETY: the function takes all it needs in registers, uses no other memory than a page that it maps, and never
        // returns; nobody else uses this process's memory.
        unsafe {
            peek_first_process(
                self.runtime as u32,
                self.channel as u32,
                signals,
                u32::from_le_bytes(self.exited),
            )
        }
    }
}

/// Has the kernel forget the place in this thread's memory in which it notes the CPU (rseq), as glibc has asked it to: it
/// would kill the process for having unmapped it.
#[cfg(target_arch = "x86_64")]
fn leave_rseq() {
    /// From glibc's sysdeps/unix/sysv/linux/x86/bits/rseq.h.
    const SIGNATURE: u32 = 0x5305_3053;
    const UNREGISTER: u32 = 1;
    /// Size that glibc registers at least.
    const SIZE_MIN: u32 = 32;
    // SAFETY: the names are C strings; glibc 2.35 and later have the symbols, of these types. A thread pointer's first word
    // holds its own address (x86-64 psABI).
    unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>();
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        if offset.is_null() || size.is_null() || *size == 0 {
            return;
        }
        let thread: usize;
        std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, preserves_flags));
        let area = thread.wrapping_add_signed(*offset);
        // Where it was never registered, this fails, and nothing is to be done.
        libc::syscall(libc::SYS_rseq, area, (*size).max(SIZE_MIN), UNREGISTER, SIGNATURE);
    }
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn peek_first_process(runtime: u32, channel: u32, signals: u64, exited: u32) -> !;
}

// Aligned to its size at most, so that it lies within one page. System calls by number: munmap 11, mmap 9, wait4 61,
// sendto 44, rt_sigtimedwait 128, kill 62, exit_group 231. They keep every register but rax, rcx and r11.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text.peek_first_process, \"ax\", @progbits",
    ".balign 512",
    ".globl peek_first_process",
    ".hidden peek_first_process",
    ".type peek_first_process, @function",
    "peek_first_process:",
    "    mov ebx, edi",
    "    mov ebp, esi",
    "    mov r12, rdx",
    "    mov r13d, ecx",
    // Everything below the page of this code goes, then everything above it, as far as the kernel permits.
    "    lea r14, [rip + peek_first_process]",
    "    and r14, -4096",
    "    xor edi, edi",
    "    mov rsi, r14",
    "    mov eax, 11",
    "    syscall",
    "    lea rdi, [r14 + 4096]",
    "    movabs rsi, 0x7ffffffff000",
    "    sub rsi, rdi",
    "    mov eax, 11",
    "    syscall",
    // A page of stack beside it: readable, writable; private, fixed, anonymous.
    "    mov esi, 4096",
    "    mov edx, 3",
    "    mov r10d, 0x32",
    "    mov r8, -1",
    "    xor r9d, r9d",
    "    mov eax, 9",
    "    syscall",
    "    cmp rax, rdi",
    "    jne 5f",
    "    lea rsp, [r14 + 8192 - 64]",
    "    mov [rsp + 16], r12",
    // Reaps who has ended, without waiting (WNOHANG).
    "2:",
    "    mov rdi, -1",
    "    lea rsi, [rsp + 4]",
    "    mov edx, 1",
    "    xor r10d, r10d",
    "    mov eax, 61",
    "    syscall",
    "    test eax, eax",
    "    jle 3f",
    "    cmp eax, ebx",
    "    jne 2b",
    // The runtime: says so (MSG_NOSIGNAL), and ends.
    "    mov [rsp], r13d",
    "    mov edi, ebp",
    "    mov rsi, rsp",
    "    mov edx, 8",
    "    mov r10d, 0x4000",
    "    xor r8d, r8d",
    "    xor r9d, r9d",
    "    mov eax, 44",
    "    syscall",
    "5:",
    "    xor edi, edi",
    "    mov eax, 231",
    "    syscall",
    "    ud2",
    // Waits for a signal, and hands on which is not SIGCHLD.
    "3:",
    "    lea rdi, [rsp + 16]",
    "    xor esi, esi",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    mov eax, 128",
    "    syscall",
    "    test eax, eax",
    "    jle 2b",
    "    cmp eax, 17",
    "    je 2b",
    "    mov esi, eax",
    "    mov edi, ebx",
    "    mov eax, 62",
    "    syscall",
    "    jmp 2b",
    // An error where it is longer.
    ".org peek_first_process + 512",
    ".size peek_first_process, . - peek_first_process",
    ".popsection",
);
