// SPDX-License-Identifier: MIT
//@ wrong_kernel_entry

namespace testing {
class TestResult {
   public:
    bool Failed() const;
};
bool TestResult::Failed() const {
    return false;
}
}  // namespace testing
