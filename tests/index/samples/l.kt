class Cart(val x: Int) {
    fun add(item: String): Int {
        return 1
    }
    private suspend fun go() = 2
}
