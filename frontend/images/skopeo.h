// skopeo(1), started as the caller with the caller's environment: it knows registries.conf,
// passwords, policy.json and signatures. What it says goes to the terminal, if there is one.
#pragma once

#include <string>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

// `skopeo copy WORDS...`. INT, TERM, HUP and QUIT end it: the error's code is EINTR. If it is not
// installed the error says which package has it.
Result<void> skopeo_copy(const std::vector<std::string>& words);

}  // namespace userns::frontend
