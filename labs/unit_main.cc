// SPDX-License-Identifier: MIT
// The main of every lab's unit-test program. Beside what GoogleTest prints for a reader, a run that
// the grader started answers its questions, on two descriptors of its own.
//
// No secret is in the process while the answer under test runs. When the body of a case has ended,
// the harness says so, and only then the grader asks, each time with a new word: "report WORD", or
// "poison WORD", after which the case has failed. The harness repeats the word and says whether the
// case has passed so far. Before the poison it must have passed and after it failed, and nobody
// knows beforehand when it comes: an answer that swallows failures, or invents them, says something
// wrong. An answer that ends the process, or prints, has said nothing here.
//
// With the end of the body it says how many of the case's expectations were evaluated
// (labs/unit_expectations.hh): at how many places, and how often in all. The grader knows these
// numbers of a right answer, so who ends a body early, or jumps over its expectations, is seen.
//
// Asked for several cases, one after the other, it makes a child for each: a process like one that was
// started for the case alone, and cheaper. The parent runs no answer. It says how the child ended, on
// a descriptor that the child does not have.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "labs/unit_confine.hh"
#include "labs/unit_expectations.hh"

// Not to be seen by a sanitizer for threads, nor by kern/arch/explore, which would take a count for
// one of the words that CPUs share.
#ifdef __clang__
#define NEST_NOT_SEEN __attribute__((disable_sanitizer_instrumentation))
#else
#define NEST_NOT_SEEN __attribute__((no_sanitize("thread")))
#endif

/// Of LeakSanitizer's interface, where there is one: looks for leaks now, and not at the end.
extern "C" __attribute__((weak)) void
__lsan_do_leak_check();  // NOLINT(readability-identifier-naming)

namespace {

unsigned long evaluations;
unsigned char evaluated_at[4096];

/// Takes a number out of the environment; -1 if there is none.
int take_number(const char* name) {
    const char* value = std::getenv(name);
    const std::string_view text{value ? value : ""};
    int number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    unsetenv(name);
    return number;
}

/// How many expectations were evaluated, as the grader hears it.
std::string evaluated_so_far() {
    return std::to_string(std::ranges::count(evaluated_at, 1)) + " " + std::to_string(evaluations);
}

/// Writes a line; false if nobody listens.
bool say(int to, const std::string& line) {
    const std::string whole = line + "\n";
    for (std::string_view left = whole; !left.empty();) {
        const ssize_t written = write(to, left.data(), left.size());
        if (written <= 0) return false;
        left.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

/// Reads a line; false at the end.
bool hear(int from, std::string& line) {
    line.clear();
    for (char letter = 0; read(from, &letter, 1) == 1; line += letter)
        if (letter == '\n') return true;
    return false;
}

/// Makes a child for each case that is named on `names`, and says with what status it ended on `ends`.
/// True in a child, with the case's `name`; false in the parent, after the last one.
/// A child may take so much processor time.
bool is_child_for_a_case(int names, int ends, rlim_t seconds, std::string& name) {
    prctl(PR_SET_DUMPABLE, 0);  // no child looks into its parent
    while (hear(names, name)) {
        const pid_t child = fork();
        if (child == 0) {
            close(names);
            close(ends);
            prctl(PR_SET_DUMPABLE, 1);
            const rlimit processor{.rlim_cur = seconds, .rlim_max = seconds + 1};
            setrlimit(RLIMIT_CPU, &processor);
            return true;
        }
        int status = -1;
        if (child < 0 || waitpid(child, &status, 0) != child || !say(ends, std::to_string(status)))
            break;
    }
    return false;
}

class Verdicts final : public ::testing::EmptyTestEventListener {
   public:
    Verdicts(int questions, int answers) : questions_{questions}, answers_{answers} {}

    /// The process's status: what GoogleTest says, without the failures that were asked for.
    int status(int found) const { return poisoned_ && !failed_ ? 0 : found; }

    void OnTestEnd(const ::testing::TestInfo& test) override {
        const std::string name = std::string{test.test_suite_name()} + "." + test.name();
        failed_ |= test.result()->Failed();
        if (!say(answers_, name + " ended " + evaluated_so_far())) return;
        for (std::string line; hear(questions_, line);) {
            const std::size_t space = line.find(' ');
            if (space == std::string::npos) return;  // "enough"
            if (line.compare(0, space, "poison") == 0) {
                poisoned_ = true;
                ADD_FAILURE() << "a question of the grader's: this case has failed from now on";
            }
            say(answers_,
                name + line.substr(space) + (test.result()->Passed() ? " passed" : " failed"));
        }
    }

   private:
    int questions_;
    int answers_;
    bool poisoned_ = false;
    bool failed_ = false;
};

}  // namespace

NEST_NOT_SEEN bool lab::evaluated(const char* file, unsigned line) {
    // A place is known by its line and the file's name, without folders, which differ from build to
    // build. Two that meet in one number do so in every run.
    unsigned place = line;
    for (const char* sign = file; *sign; ++sign)
        place = *sign == '/' ? line : place * 31 + static_cast<unsigned char>(*sign);
    __atomic_fetch_add(&evaluations, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&evaluated_at[place % sizeof evaluated_at], 1, __ATOMIC_RELAXED);
    return true;
}

int main(int argc, char** argv) {
    const int questions = take_number("NEST_QUESTIONS_FD");
    const int answers = take_number("NEST_ANSWERS_FD");
    const int names = take_number("NEST_CASES_FD");
    const int ends = take_number("NEST_ENDS_FD");
    const int seconds = take_number("NEST_CASE_SECONDS");
    std::vector<char*> words{argv, argv + argc};
    std::string filter;
    if (names >= 0 && ends >= 0) {
        const auto most = static_cast<rlim_t>(std::max(seconds, 1));
        if (std::string name; is_child_for_a_case(names, ends, most, name))
            filter = "--gtest_filter=" + name;
        else
            return 0;
        words.push_back(filter.data());
    }
    int count = static_cast<int>(words.size());
    words.push_back(nullptr);
    ::testing::InitGoogleTest(&count, words.data());
    if (questions < 0 || answers < 0) return RUN_ALL_TESTS();

    auto* const verdicts = new Verdicts{questions, answers};
    ::testing::UnitTest::GetInstance()->listeners().Append(verdicts);
    lab::confine();
    const int status = verdicts->status(RUN_ALL_TESTS());
    if (names < 0) return status;

    // A child has no more to do. To end in order, global by global, would cost more than most cases.
    if (__lsan_do_leak_check) __lsan_do_leak_check();
    std::fflush(nullptr);
    _exit(status);
}
