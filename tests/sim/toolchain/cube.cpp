extern "C" int toolchain_cube(int value) { return value * value * value; }
