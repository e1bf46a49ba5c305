#include "helpers/newidmap/run.h"

int main(int argc, char** argv) { userns::newidmap::run(userns::newidmap::kGid, argc, argv); }
