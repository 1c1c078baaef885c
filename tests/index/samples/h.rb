# frozen_string_literal: true

require "json"
require_relative "shop/prices"

module Shop
  VAT = 0.2

  class Cart < Base
    include Enumerable
    attr_reader :items

    Line = Struct.new(:name, :count) do
      def total
        count * Prices.of(name)
      end
    end

    def initialize(owner:, items: [])
      @owner = owner
      @items = items
    end

    def self.load(id)
      new(**JSON.parse(File.read(path(id)), symbolize_names: true))
    end

    class << self
      def path(id) = "carts/#{id}.json"
    end

    def empty?
      items.none? { |item| item.count.positive? }
    end

    def [](index)
      items[index]
    end

    private

    def <<(item)
      @items << item
    end
  end

  class Error::Full < StandardError; end
end

RSpec.describe Shop::Cart do
  def build_cart
    Shop::Cart.new(owner: "ann")
  end

  it "is empty" do
    expect(build_cart).to be_empty
  end
end
