using System;
using System.Collections.Generic;
using static System.Math;

namespace Shop.Web
{
    /// <summary>A cart.</summary>
    [Serializable]
    public sealed class Cart<T> : Base, IPriced where T : IItem
    {
        private const int Limit = 99;
        private readonly List<T> _items = new();

        public event EventHandler Changed;

        public Cart(string owner) : base(owner) { }

        ~Cart() { }

        public string Owner { get; private set; } = "";

        public T this[int index] => _items[index];

        [Obsolete("use Sum")]
        public async Task<decimal> TotalAsync(
            CancellationToken cancel = default)
        {
            decimal Price(T item) => item.Price;
            return await Task.FromResult(_items.Sum(Price));
        }

        public static Cart<T> operator +(Cart<T> a, Cart<T> b) => a;

        private enum State { Open, Paid }

        internal struct Line
        {
            public int Count;
        }
    }

    public interface IPriced
    {
        decimal Price { get; }
        void Reset();
    }

    public record Order(int Id, string Name);

    public delegate void Paid(object sender);

    public static class Extensions
    {
        public static bool IsEmpty<T>(this Cart<T> cart) => true;
    }
}
