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
#include <gtest/gtest.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include "labs/unit_confine.hh"

namespace {

/// Takes a number out of the environment; -1 if there is none.
int take_number(const char* name) {
    const char* value = std::getenv(name);
    const std::string_view text{value ? value : ""};
    int number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    unsetenv(name);
    return number;
}

class Verdicts final : public ::testing::EmptyTestEventListener {
   public:
    Verdicts(int questions, int answers) : questions_{questions}, answers_{answers} {}

    /// The process's status: what GoogleTest says, without the failures that were asked for.
    int status(int found) const { return poisoned_ && !failed_ ? 0 : found; }

    void OnTestEnd(const ::testing::TestInfo& test) override {
        const std::string name = std::string{test.test_suite_name()} + "." + test.name();
        failed_ |= test.result()->Failed();
        if (!say(name + " ended")) return;
        for (std::string line; hear(line);) {
            const std::size_t space = line.find(' ');
            if (space == std::string::npos) return;  // "enough"
            if (line.compare(0, space, "poison") == 0) {
                poisoned_ = true;
                ADD_FAILURE() << "a question of the grader's: this case has failed from now on";
            }
            say(name + line.substr(space) + (test.result()->Passed() ? " passed" : " failed"));
        }
    }

   private:
    bool say(const std::string& line) const {
        const std::string whole = line + "\n";
        for (std::string_view left = whole; !left.empty();) {
            const ssize_t written = write(answers_, left.data(), left.size());
            if (written <= 0) return false;  // nobody listens: no verdict, which counts as failed
            left.remove_prefix(static_cast<std::size_t>(written));
        }
        return true;
    }

    bool hear(std::string& line) const {
        line.clear();
        for (char letter = 0; read(questions_, &letter, 1) == 1; line += letter)
            if (letter == '\n') return true;
        return false;
    }

    int questions_;
    int answers_;
    bool poisoned_ = false;
    bool failed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    const int questions = take_number("NEST_QUESTIONS_FD");
    const int answers = take_number("NEST_ANSWERS_FD");
    ::testing::InitGoogleTest(&argc, argv);
    if (questions < 0 || answers < 0) return RUN_ALL_TESTS();

    auto* const verdicts = new Verdicts{questions, answers};
    ::testing::UnitTest::GetInstance()->listeners().Append(verdicts);
    lab::confine();
    const int found = RUN_ALL_TESTS();
    return verdicts->status(found);
}
