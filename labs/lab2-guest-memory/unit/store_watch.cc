// SPDX-License-Identifier: MIT
#include "store_watch.hh"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cstdlib>

#include "step_over_store.hh"

namespace lab {
namespace {

constexpr std::uintptr_t page_bytes = 4096;

// What the signal handlers know.
volatile std::uint64_t* watched = nullptr;
std::uintptr_t watched_page = 0;
std::array<std::uint64_t, 16> seen{};
std::size_t seen_count = 0;
std::uint64_t last = 0;
struct sigaction segv_before, trap_before;

void allow_writes(bool allowed) {
    if (mprotect(reinterpret_cast<void*>(watched_page), page_bytes,
                 PROT_READ | (allowed ? PROT_WRITE : 0)) != 0)
        std::abort();
}

void note_value() {
    const std::uint64_t value = *watched;
    if (value != last && seen_count < seen.size()) seen[seen_count++] = value;
    last = value;
    allow_writes(false);
}

void on_write(int, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
    if (at - watched_page >= page_bytes) {  // another fault: it comes again, to whom it belongs
        sigaction(SIGSEGV, &segv_before, nullptr);
        return;
    }
    allow_writes(true);
    if (step_over_store(*static_cast<ucontext_t*>(context), info->si_addr)) note_value();
}

void on_written(int, siginfo_t*, void* context) {
    end_step(*static_cast<ucontext_t*>(context));
    note_value();
}

void handle(int signal, void (*handler)(int, siginfo_t*, void*), struct sigaction& before) {
    struct sigaction action{};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(signal, &action, &before) != 0) std::abort();
}

}  // namespace

StoreWatch::StoreWatch(std::uint64_t& word) {
    watched = &word;
    watched_page = reinterpret_cast<std::uintptr_t>(&word) & ~(page_bytes - 1);
    last = word;
    seen_count = 0;
    handle(SIGSEGV, on_write, segv_before);
    handle(SIGTRAP, on_written, trap_before);
    allow_writes(false);
}

StoreWatch::~StoreWatch() {
    allow_writes(true);
    sigaction(SIGSEGV, &segv_before, nullptr);
    sigaction(SIGTRAP, &trap_before, nullptr);
}

std::vector<std::uint64_t> StoreWatch::values() const {
    return {seen.begin(), seen.begin() + static_cast<std::ptrdiff_t>(seen_count)};
}

}  // namespace lab
